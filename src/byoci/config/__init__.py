"""Configuration: schema, loading with namespaces and provenance."""
