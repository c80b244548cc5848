"""An HTTP connection to the app in this process: one request after the other, each answer whole.

A stream of events is read until it is silent; then the client hangs up. Starlette's TestClient waits for its end.
"""

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import FastAPI
from requests import PreparedRequest
from schemathesis import Response

#: seconds without an event after which a client that reads a stream hangs up
SILENT_S = 0.02


@dataclass
class _Answer:
    """What comes back."""

    status: int = 0
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def streams(self) -> bool:
        return self.headers.get("content-type", [""])[0].startswith("text/event-stream")

    @property
    def content(self) -> bytes:
        packed = self.headers.get("content-encoding", [""])[0] == "gzip"
        return gzip.decompress(self.body) if packed else bytes(self.body)

    async def take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message["headers"]:
                self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.stirred.set()
            if not message.get("more_body", False):
                self.ended.set()

    async def read(self) -> None:
        """Until it ended, or, of a stream, until nothing comes any more."""
        while not self.ended.is_set():
            self.stirred.clear()
            try:
                await asyncio.wait_for(self.stirred.wait(), SILENT_S if self.streams and self.body else None)
            except TimeoutError:
                return


class Wire:
    """To one app, from one address. `close` it: it holds an event loop."""

    def __init__(self, app: FastAPI, address: str) -> None:
        self._app, self._address, self._runner = app, address, asyncio.Runner()

    def close(self) -> None:
        """What is left of streams is cancelled."""
        self._runner.close()

    def send(self, request: PreparedRequest) -> Response:
        """Send a request, and have its answer. What the app raises beside its answer is in that answer's status."""
        answer = self._runner.run(self._exchange(request))
        return Response(
            status_code=answer.status,
            headers=answer.headers,
            content=answer.content,
            request=request,
            elapsed=0.0,
            verify=False,
            encoding="utf-8",
        )

    async def _exchange(self, request: PreparedRequest) -> _Answer:
        answer, sent = _Answer(), False
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else body

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": content, "more_body": False}
            await answer.read()
            return {"type": "http.disconnect"}

        try:
            await self._app(self._scope(request), receive, answer.take)
        except Exception:
            if answer.status != 500:  # Starlette raises again what it has answered with 500
                raise
        return answer

    def _scope(self, request: PreparedRequest) -> dict[str, Any]:
        parts = urlsplit(request.url or "")
        headers = [(name.lower().encode(), _octets(value)) for name, value in request.headers.items()]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},  # 2.3: a stream listens for the client's hanging up
            "http_version": "1.1",
            "method": request.method,
            "scheme": parts.scheme,
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(b"host", parts.netloc.encode()), *headers],
            "client": (self._address, 4000),
            "server": (parts.hostname, 80),
        }


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
