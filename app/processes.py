"""`pairboard web`: one process that serves, or several that share port, secret and request counts. Called by cli.

Several are children of uvicorn's supervisor, which serves nothing itself: it starts again a child that dies or hangs
and ends them all on SIGTERM. What two processes must agree on goes to them through the environment, before they
import the app.
"""

import logging
import multiprocessing
import os
import secrets
import sys
import tempfile
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from app import logs
from app.errors import AppError
from app.heads import PromptProtocol
from app.main import create_app
from app.metrics import FOLDER
from app.settings import Settings, load
from ml.contract.lifeline import end_after

log = logging.getLogger(__name__)
#: uvicorn's exit code of a process that could not begin to serve; another try would end the same
CANT_START = 3
#: a child that does not answer its parent for so long hangs; less would kill one that starts on a busy machine, more
#: would have SIGTERM wait for one that failed to start
HANGS_AFTER_S = 20


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; the exit code. Raises AppError when it is not safe to start."""
    logs.configure(settings)
    if settings.web_processes == 1:
        uvicorn.run(create_app(settings), **_options(settings))
        return 0
    create_app(settings).state.database.dispose()  # what hinders all of them is said once, here
    with tempfile.TemporaryDirectory(prefix="pairboard-metrics-") as folder:  # new, so nothing old is counted
        os.environ[FOLDER] = folder
        os.environ["PAIRBOARD_WEB_PROCESSES"] = str(settings.web_processes)  # each gives its share of a token's rate
        os.environ["PAIRBOARD_SECRET"] = settings.secret.get_secret_value() or secrets.token_hex(32)
        return _supervise(settings)


def _supervise(settings: Settings) -> int:
    """Multiprocess itself, not uvicorn.run: that one does not tell of children that can't start."""
    config = uvicorn.Config(
        "app.processes:child",
        factory=True,
        workers=settings.web_processes,
        timeout_worker_healthcheck=HANGS_AFTER_S,
        **_options(settings),
    )
    logging.getLogger("uvicorn.error").setLevel(settings.log_level.upper())  # a child that died is worth a line
    supervisor = Multiprocess(config, [config.bind_socket()])
    supervisor.run()
    return CANT_START if any(process.exitcode == CANT_START for process in supervisor.processes) else 0


def child() -> FastAPI:
    """What each of several processes serves; called by uvicorn in the process itself."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        end_after(parent.join)  # a killed parent must not leave its children on the port
    settings = load()
    logs.configure(settings)
    try:
        return create_app(settings)
    except AppError as error:  # the database was changed under a running server
        log.error(error.message)
        sys.exit(1)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,  # uvicorn's lines go where ours go
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": 5,
        "proxy_headers": False,  # forwarded.py reads them, of proxies that are trusted
        "http": PromptProtocol,
    }
