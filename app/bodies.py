"""How much a request may send, and how slowly: counted as it comes, whatever its Content-Length says.

ASGI middleware of main's, the innermost: what it refuses becomes a page or JSON like any other refusal. A body that is
a file's goes on to the disk and may be large, from those who are known; all others are held in memory and are small.
"""

import asyncio
import time
from collections.abc import Callable

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.language import gettext as _
from app.settings import Settings

#: a body that stops for so long, or comes for longer than this and slower than that, holds a connection for nothing
SILENT_S = 30.0
SLOWEST_BYTES_PER_S = 1000
#: what a form with a file holds beside it
BESIDE_A_FILE = 1 << 20


class SlowBody(HTTPException):
    """The rest of the body does not come. 408."""

    def __init__(self) -> None:
        super().__init__(408, _("the body came too slowly, or stopped: send it again"))


class Bodies:
    """Counts what a request sends. `known`: whether somebody known asks; called in a thread, for large bodies alone."""

    def __init__(self, app: ASGIApp, settings: Settings, known: Callable[[Request], bool]) -> None:
        self.app, self._settings, self._known = app, settings, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the body is looked at as it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(scope, receive, self._settings, self._known)

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and not body.whole:
                MutableHeaders(scope=message)["Connection"] = "close"  # the rest of it is not waited for
            await send(message)

        await self.app(scope, body.receive, send_and_close)


class _Body:
    """The body of one request on its way in."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings, known: Callable[[Request], bool]) -> None:
        headers = Headers(scope=scope)
        told = headers.get("content-length", "")
        self._told = int(told) if told.isdecimal() else 0
        self._small = self._limit = settings.max_body_mb << 20
        self._setting = "PAIRBOARD_MAX_BODY_MB"
        if headers.get("content-type", "").lower().startswith("multipart/form-data"):
            self._limit = (settings.max_upload_mb << 20) + BESIDE_A_FILE
            self._setting = "PAIRBOARD_MAX_UPLOAD_MB"
        self._scope, self._receive, self._known = scope, receive, known
        self._size, self._waited, self._is_known = 0, 0.0, False
        self.whole = not self._told and "transfer-encoding" not in headers
        self._ended = False

    async def receive(self) -> Message:
        """The next piece. Raises HTTPException for what is too much or too slow."""
        if self._ended:  # from here on it is the connection's end that is waited for
            return await self._receive()
        await self._require_room(self._told)
        message = await self._next()
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            await self._require_room(self._size)
            self.whole = self._ended = not message.get("more_body", False)
        return message

    async def _require_room(self, size: int) -> None:
        if size > self._limit:
            told = {"limit": self._limit >> 20, "name": self._setting}
            raise HTTPException(413, _("what was sent is larger than %(limit)s MiB: raise %(name)s to take it", **told))
        if size > self._small and not self._is_known:
            self._is_known = await run_in_threadpool(self._known, Request(self._scope))
            if not self._is_known:
                raise HTTPException(401, _("sign in first, or send Authorization: Bearer <token>"))

    async def _next(self) -> Message:
        """Only the time counts that we waited here, not what was done with the pieces meanwhile."""
        began, left = time.monotonic(), SILENT_S + self._size / SLOWEST_BYTES_PER_S - self._waited
        try:
            async with asyncio.timeout(max(0.0, min(left, SILENT_S))):
                return await self._receive()
        except TimeoutError:
            raise SlowBody from None
        finally:
            self._waited += time.monotonic() - began
