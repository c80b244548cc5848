"""Contests, rows and pages. Never imports torch, the worker, or ml beyond ml.contract."""
