"""What a lander remembers in SQLite, and the lease that makes it the only one."""
