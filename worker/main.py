"""The worker process: a Celery consumer of one thread, and a thread that tells the app that we live.

Threads pool of one, acknowledged early, nothing prefetched, no result backend: the row in the app is the truth and the
message only a doorbell. (The prefork pool hoards messages and did not stop on SIGTERM; a late acknowledgement starts
a run twice once it outlasts the broker's visibility timeout.)
"""

import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
import uuid
import warnings
from pathlib import Path
from types import FrameType
from typing import IO

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down
from pythonjsonlogger.json import JsonFormatter

from ml.contract import logs
from ml.contract.lifeline import die_with_parent
from worker import alive
from worker.broker import FILES, FileTransport, transport_options
from worker.client import Away, Client, Rejected, Stale
from worker.settings import SettingsError, WorkerSettings, load
from worker.tasks import Carrier

log = logging.getLogger("worker")
TASK = "pairboard.run"


def main() -> int:
    """`python -m worker`. Ends with 2 when the environment does not make a worker."""
    if "--die-with-parent" in sys.argv[1:]:
        die_with_parent()
    try:
        settings = load()
        _configure_log(settings)
        lock = hold_name(settings)
    except SettingsError as error:
        print(f"pairboard worker: {error}", file=sys.stderr)  # noqa: T201 - before there is a log to write to
        return 2
    with lock:
        serve(settings)
    return 0


def _configure_log(settings: WorkerSettings) -> None:
    names = {"levelname": "level", "name": "logger"}
    who = {"who": "worker", "worker": settings.worker_name}
    as_json = JsonFormatter([*names, "message"], rename_fields=names, timestamp="time", static_fields=who)
    logs.configure(settings.log_level, as_json if settings.log_format == "json" else logs.TextFormatter("worker"))
    logging.getLogger("worker").setLevel(settings.log_level.upper())  # or Celery's --loglevel would silence us too


def hold_name(settings: WorkerSettings) -> IO[str]:
    """Two workers of one name would take each other's runs for lost: the name is locked while the process lives."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    lock = Path(settings.folder / "lock").open("w")  # noqa: SIM115 - held as long as the process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise SettingsError(
            f"a worker named {settings.worker_name!r} runs here already: give this one another PAIRBOARD_WORKER_NAME"
        ) from error
    return lock


def serve(settings: WorkerSettings) -> None:
    """Deliver what an earlier process left, then wait for the doorbell until SIGTERM."""
    if settings.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(settings.gpu)  # of the trainers that we start
    token, boot_id = settings.token.get_secret_value(), uuid.uuid4().hex
    client = Client(settings.server, token, settings.worker_name, boot_id, settings.queue_names)
    carrier = Carrier(settings, client)
    carrier.deliver_leftovers()  # before the first report: that one frees what this name held
    with contextlib.suppress(Away, Stale, Rejected):  # the presence thread says what is wrong
        carrier.report()  # before the first bell: the app hands out by what a worker told of itself
    celery = make_celery(settings, carrier)
    presence = threading.Thread(target=_report, args=(settings, carrier), name="presence", daemon=True)
    worker_ready.connect(lambda **_: presence.start(), weak=False)
    worker_shutting_down.connect(lambda **_: _stop(carrier), weak=False)
    log.info("%s serves %s of %s", settings.worker_name, ", ".join(settings.queue_names), settings.server)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # root may: only JSON is accepted, nothing is unpickled
    options = ["--quiet", "worker", "--pool", "threads", "--concurrency", "1", "--loglevel", "WARNING"]
    options += ["--queues", ",".join(settings.queue_names), "--hostname", f"{settings.worker_name}@%h"]
    celery.worker_main([*options, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def _stop(carrier: Carrier) -> None:
    """The first SIGTERM: the run saves itself and returns to the queue. A second one ends worker and trainer now."""

    def at_once(number: int, _frame: FrameType | None) -> None:
        carrier.kill()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, at_once)
    carrier.stop()


def make_celery(settings: WorkerSettings, carrier: Carrier) -> Celery:
    """The consumer. Its broker options mirror app/queue.py, which worker must not import."""
    broker = settings.broker_url.get_secret_value()
    celery = Celery("pairboard-worker", broker=broker)
    celery.conf.update(
        task_default_queue=settings.queue_names[0],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=broker.startswith("redis"),
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport=FileTransport if broker.startswith(FILES) else None,
        broker_transport_options=transport_options(broker, settings.data_dir),
    )

    @celery.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery has no types
    def run(run_id: int) -> None:
        log.debug("the bell rang for run %s", run_id)
        carrier.carry()

    return celery


def _report(settings: WorkerSettings, carrier: Carrier) -> None:
    """Every few seconds, until the worker stops. The app may be away; a refused token is final."""
    was_away = False
    while not carrier.stopping.is_set():
        with contextlib.suppress(OSError):  # a full disk: the report finds it too, and says so
            alive.note(settings)
        try:
            carrier.report()
            was_away = False
        except Away as error:
            if not was_away:
                log.warning("the app at %s is away: %s", settings.server, error)
            was_away = True
        except OSError as error:  # a full disk; and without this thread the app would take us for lost
            log.warning("the figures of this machine can't be written down: %s", error)
        except (Stale, Rejected) as error:
            log.error("the app at %s does not take this worker: %s", settings.server, error)
            os.kill(os.getpid(), 15)
            return
        carrier.stopping.wait(settings.heartbeat_seconds)
