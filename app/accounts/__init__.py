"""Who may come in: members and tokens."""
