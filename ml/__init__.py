"""Sentence pairs and models: turns a job into events. Never imports app or worker."""
