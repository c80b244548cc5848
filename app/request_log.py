"""ASGI middleware, outermost: every request gets an id, is timed, and names its run in the lines logged meanwhile."""

import logging
import re
import time
import uuid
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import REQUEST_SECONDS
from ml.contract.logs import about

log = logging.getLogger(__name__)
SLOW_S = 2.0
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RUN = re.compile(r"/runs/(\d{1,18})(/|$)")


class RequestLog:
    """Sends X-Request-ID: the one it was sent, or a new one; and Server-Timing, which browsers' tools show: how many
    milliseconds passed until the answer began."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP through, and look at the clock."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex[:16]
        scope.setdefault("state", {})["request_id"] = request_id  # for the audit log
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["Server-Timing"] = f"app;dur={1000 * (time.perf_counter() - began):.1f}"
            await send(message)

        run = _RUN.search(scope["path"])
        began = time.perf_counter()
        with about(request=request_id, **({"run": int(run[1])} if run else {})):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._note(scope, status, time.perf_counter() - began)

    @staticmethod
    def _note(scope: Scope, status: int, seconds: float) -> None:
        """The route's pattern, not the path: a path may hold anything, and each would be a series of its own."""
        route = getattr(scope.get("route"), "path", "other")
        REQUEST_SECONDS.labels(scope["method"], route, status).observe(seconds)
        level = logging.INFO if seconds > SLOW_S else logging.DEBUG
        figures = {"status": status, "seconds": round(seconds, 4)}
        log.log(level, "%s %s %s %.3f s", scope["method"], quote(scope["path"]), status, seconds, extra=figures)
