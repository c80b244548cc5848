"""Rows of the comparison table: what was asked, and its scores."""
