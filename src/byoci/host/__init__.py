"""The host's part: setting up a site, with projects to try it on."""
