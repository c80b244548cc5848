"""Sealed scoring: a contest's answers, which nobody can read back, and the scores of what is sent in."""
