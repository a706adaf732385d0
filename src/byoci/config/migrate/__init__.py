"""From an older byoci's and byov's configuration files to a `byoci.toml`."""
