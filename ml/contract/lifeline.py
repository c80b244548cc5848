"""How a child process notices that its parent died: its stdin is a pipe, and the pipe ends.

Called first thing by ml (child of the worker), and by worker and web (children of `pairboard up`).
"""

import os
import signal
import threading


def die_with_parent() -> None:
    """Send this process SIGTERM when stdin reaches its end, and SIGKILL if it still lives 10 s later.

    os.read, not sys.stdin: a thread that waits in a buffered reader makes Python abort at exit.
    """

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
