"""Who may sign in: people, their passwords and tokens, sessions of browsers; for the controller and the dashboard alike."""
