"""SIGTERM: a training under way ends its step, saves and says so; everything else ends at once. Called by __main__
(listen) and loop.

One flag for the process, as signals are of the process. Several processes of torchrun do not listen: a step that they
do together cannot be left by one, and what they saved last is not old.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_training = False
_asked = False


class Stopped(Exception):
    """The training was asked to stop, and its state is saved. The message says where it stands."""


def listen() -> None:
    """From now on SIGTERM is ours."""
    signal.signal(signal.SIGTERM, _hear)


def _hear(number: int, _frame: FrameType | None) -> None:
    global _asked
    if _training and not _asked:
        _asked = True
    else:  # nothing to save, or asked twice
        os._exit(128 + number)


@contextmanager
def waits_for_step() -> Iterator[None]:
    """While this is open, a training looks at asked() after each step."""
    global _training
    _training = True
    try:
        yield
    finally:
        _training = False


def asked() -> bool:
    """Whether the training is to stop after this step."""
    return _asked
