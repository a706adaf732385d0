"""Version control: one protocol (`base`), one file a system."""
