"""Contests and their data files."""
