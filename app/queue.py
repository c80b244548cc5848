"""The doorbell: puts a run id into the broker after the commit. The only place of the app that knows Celery.

A message may be lost or come twice; the row is the truth. `later` notes an id in the session, the request's edge
rings after its commit, and the sweeper (runs/sweeper.py) rings again for runs that still wait.
"""

import logging
import os
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps
from sqlalchemy.orm import Session

from app.settings import Settings

log = logging.getLogger(__name__)
TASK = "pairboard.run"
Bell = tuple[int, str]  # a run and the queue it waits in
FILES = "filesystem"


class WholeMessages(filesystem.Channel):
    """Kombu's file broker, whose message appears under its name when it is whole: Kombu's own writes it there, and a
    worker that looks in between takes an empty one. Nor is there a table of bindings in a file that two could write at
    once: each queue is rung by its name."""

    supports_fanout = False
    get_table = virtual.Channel.get_table

    def _put(self, queue: str, payload: dict[str, Any], **_: object) -> None:  # type: ignore[override]
        path = Path(self.data_folder_out) / f"{time.monotonic_ns() // 1_000_000}_{uuid.uuid4()}.{queue}.msg"
        part = path.with_name(f"{path.name}.part")
        part.write_text(dumps(payload), encoding="utf-8")  # type: ignore[no-untyped-call]
        os.replace(part, path)


class FileTransport(filesystem.Transport):
    """`filesystem://` with whole messages."""

    Channel = WholeMessages


class Doorbell:
    """Sends `pairboard.run(run_id)` to the run's queue. Who hears it asks the app what goes first."""

    def __init__(self, settings: Settings) -> None:
        self.celery = Celery("pairboard", broker=settings.broker_url.get_secret_value())
        self.celery.conf.update(
            task_default_queue=settings.queue,
            task_ignore_result=True,
            broker_connection_retry_on_startup=False,
            broker_transport=FileTransport if settings.broker_url.get_secret_value().startswith(FILES) else None,
            broker_transport_options=transport_options(settings.broker_url.get_secret_value(), settings.data_dir),
        )

    def ring(self, bells: Iterable[Bell]) -> bool:
        """Ring for each run in its queue. False, and a warning in the log, when the broker is away: the sweeper comes
        back to it."""
        try:
            for run_id, name in bells:
                self.celery.send_task(TASK, args=[run_id], queue=name, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("the broker does not answer (%s); queued runs wait until it does", error)
            return False
        return True

    def answers(self) -> bool:
        """Whether the broker can be reached now."""
        try:
            with self.celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)
        except (OperationalError, OSError):
            return False
        return True


def transport_options(broker_url: str, data_dir: Path) -> dict[str, object]:
    """Kombu's options; the same on both ends of the broker (worker/main.py makes its own from the same rule)."""
    if not broker_url.startswith(FILES):
        return {"socket_timeout": 5, "socket_connect_timeout": 5}
    folder = (data_dir / "broker").resolve()
    for name in ("messages", "taken"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "processed_folder": str(folder / "taken"),
    }


def later(session: Session, run_id: int, name: str) -> None:
    """Ring for this run in this queue once the session has been committed."""
    session.info.setdefault("ring", []).append((run_id, name))


def noted(session: Session) -> list[Bell]:
    """The bells noted in this session, oldest first; forgets them."""
    bells: list[Bell] = session.info.pop("ring", [])
    return list(dict.fromkeys(bells))


def lost_messages(settings: Settings, older_s: float) -> list[Path]:
    """Messages of the file broker that nobody has fetched for so long: for queues that no worker listens on. What they
    rang for is rung for again. Redis's are its own affair."""
    if not settings.broker_url.get_secret_value().startswith(FILES):
        return []
    found = sorted((settings.data_dir / "broker" / "messages").glob("*.msg*"))  # .part: who wrote it was killed
    return [path for path in found if time.time() - path.stat().st_mtime > older_s]
