"""The one error of a run that a person can do something about."""


class RunError(Exception):
    """A run cannot go on. The message is one sentence for a person: the offending value and the way out."""
