"""The worker's end of the broker. app/queue.py has the other one, which worker must not import."""

import logging
from pathlib import Path
from typing import Any

from kombu.transport import filesystem, virtual

log = logging.getLogger("worker")
FILES = "filesystem"


class BrokenAreSkipped(filesystem.Channel):
    """Kombu's file broker, in which a message that can't be read (a disk that was full, a machine that lost its power)
    costs that message: Kombu's own ends the worker. The app rings again for a run that waits. Nor is there a table of
    bindings in a file: each queue is rung by its name."""

    supports_fanout = False
    get_table = virtual.Channel.get_table

    def _get(self, queue: str) -> dict[str, Any]:  # type: ignore[override]
        while True:
            try:
                message: dict[str, Any] = super()._get(queue)  # type: ignore[no-untyped-call]
            except ValueError as error:  # json's and the decoder's errors are of this kind
                log.warning("a message in %s can't be read and is left out: %s", self.data_folder_in, error)
            else:
                return message


class FileTransport(filesystem.Transport):
    """`filesystem://` whose broken messages are skipped."""

    Channel = BrokenAreSkipped


def transport_options(broker: str, data_dir: Path) -> dict[str, Any]:
    """Kombu's options; the same on both ends of the broker (app/queue.py makes its own from the same rule)."""
    if not broker.startswith(FILES):
        return {"socket_timeout": 30, "socket_connect_timeout": 5}
    folder = (data_dir / "broker").resolve()
    for name in ("messages", "taken"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "processed_folder": str(folder / "taken"),
        "polling_interval": 0.2,
    }
