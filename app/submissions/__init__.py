"""What goes to a contest and what it says: the form of its files, writing and reading them, and online scores."""
