"""How a child process notices that its parent died, and ends itself.

`die_with_parent` is called first thing by ml (child of the worker), and by worker and web (children of `pairboard
up`): their stdin is a pipe, and the pipe ends. `end_after` is for children that are told in another way
(app/processes.py).
"""

import os
import signal
import threading
from collections.abc import Callable


def die_with_parent() -> None:
    """End this process when stdin reaches its end.

    os.read, not sys.stdin: a thread that waits in a buffered reader makes Python abort at exit.
    """

    def stdin_ends() -> None:
        while os.read(0, 1024):
            pass

    end_after(stdin_ends)


def end_after(wait: Callable[[], object]) -> None:
    """Send this process SIGTERM when `wait`, in a thread, returns, and SIGKILL if it still lives 10 s later."""

    def watch() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
