"""Workers, sealed and thrown away: one protocol (`base`), one file a back-end; test results."""
