"""Whether the worker of this environment lives: `python -m worker.alive`, for a container's health check.

The presence thread (main.py) notes each of its rounds in a file, whether or not the app answered: an app that is away
is no reason to start a worker anew.
"""

import sys
import time

from worker.settings import SettingsError, WorkerSettings, load

#: a round may wait for the app that long
ROUND_S = 90.0


def note(settings: WorkerSettings) -> None:
    """A round has begun. Raises OSError on a disk that does not take even this."""
    (settings.folder / "alive").touch()


def problem(settings: WorkerSettings) -> str:
    """Why it does not live; empty when it does."""
    try:
        age = time.time() - (settings.folder / "alive").stat().st_mtime
    except OSError as error:
        return f"no worker has run in {settings.folder} ({error.strerror})"
    if age > settings.heartbeat_seconds + ROUND_S:
        return f"the worker of {settings.folder} was last alive {age:.0f} s ago"
    return ""


def main() -> int:
    """0 when it lives; else 1, and why."""
    try:
        found = problem(load())
    except SettingsError as error:
        found = str(error)
    if found:
        print(f"pairboard worker: {found}", file=sys.stderr)  # noqa: T201 - a program
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
