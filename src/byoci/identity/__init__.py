"""Who may sign in, for controller and dashboard alike: people, passwords, tokens, sessions of browsers."""
