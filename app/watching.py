"""One look a second at what many open pages wait for: its findings go to all of them. No web framework.

Two hundred pages of one experiment cost one question to the database a second, asked in a thread, and no page holds a
thread or a connection. Called by experiments/stream_api.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

log = logging.getLogger(__name__)
EVERY_S = 1.0
#: messages that a slow reader may be behind; then it is let go, and comes back with the cursor that it has
BEHIND = 50


@dataclass(frozen=True)
class Told:
    """A message. `kind` is the event's name, `cursor` up to where its reader has seen then; `to`: readers of this
    language alone."""

    kind: str
    data: str
    cursor: str
    to: str = ""


#: what is new since it was last asked, for readers of these languages; and whether more may come. Asked in a thread.
Look = Callable[[frozenset[str]], tuple[list[Told], bool]]
Reader = tuple[str, "asyncio.Queue[Told | None]"]


class Watches:
    """What is being watched, by key, as long as somebody waits for it."""

    def __init__(self) -> None:
        self._readers: dict[Hashable, set[Reader]] = {}
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def follow(
        self, key: Hashable, look: Callable[[], Look], language: str
    ) -> AsyncIterator["asyncio.Queue[Told | None]"]:
        """A queue of what is found from now on; None in it is the end. `look` makes the one who looks for the first
        reader; the others share him."""
        reader: Reader = (language, asyncio.Queue(BEHIND))
        self._readers.setdefault(key, set()).add(reader)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._watch(key, look()))
        try:
            yield reader[1]
        finally:
            self._readers.get(key, set()).discard(reader)

    async def _watch(self, key: Hashable, look: Look) -> None:
        active = True
        try:
            while active and self._readers[key]:
                found, active = await run_in_threadpool(look, frozenset(language for language, _ in self._readers[key]))
                for reader in list(self._readers[key]):
                    self._tell(key, reader, found)
                await asyncio.sleep(EVERY_S)
        except Exception:  # the database is away: readers come back until it is there
            log.exception("what %s tells can't be read", key)
        finally:
            del self._tasks[key]
            for _, queue in self._readers.pop(key, set()):
                _end(queue)

    def _tell(self, key: Hashable, reader: Reader, found: list[Told]) -> None:
        language, queue = reader
        for told in found:
            if told.to not in {"", language}:
                continue
            if queue.full():
                self._readers[key].discard(reader)
                _end(queue)
                return
            queue.put_nowait(told)


def _end(queue: "asyncio.Queue[Told | None]") -> None:
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)
