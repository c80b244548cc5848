"""Carries a job: fetches it, starts ml as a program, brings its events and files home. Never app, torch or SQL."""
