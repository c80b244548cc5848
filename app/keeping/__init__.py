"""Keeping a set-up: copies of all of it, bringing one back, and what may go."""
