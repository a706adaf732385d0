"""Forges: one protocol (`base`), one file a forge."""
