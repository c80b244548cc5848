"""The one error of a run that a person can do something about."""


class RunError(Exception):
    """A run cannot go on. The message is one sentence for a person: the offending value and the way out."""


class Killed(RunError):
    """A process of the run was killed by a signal: bad luck of the machine, not of the run, which is tried again."""
