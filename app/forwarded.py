"""What a proxy before us says of a request: who asked, under which name, and over http or https. Called by main.

Only proxies of PAIRBOARD_TRUSTED_PROXIES are believed: anybody can send such headers. Of one that says nothing of https
PAIRBOARD_HTTPS does.
"""

from typing import Any, cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.settings import is_loopback_name


class Forwarded:
    """ASGI middleware. X-Forwarded-For and -Proto are uvicorn's own to read; -Host takes the place of Host."""

    def __init__(self, app: ASGIApp, proxies: list[str]) -> None:
        self._app = ProxyHeadersMiddleware(cast(Any, app), proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, as the proxy was asked."""
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self._app.trusted_hosts:
            headers = MutableHeaders(scope=scope)
            # of several proxies the last one wrote last
            if asked := headers.get("x-forwarded-host", "").split(",")[-1].strip():
                headers["host"] = asked
        await self._app(cast(Any, scope), cast(Any, receive), cast(Any, send))


class ByHttps:
    """ASGI middleware of PAIRBOARD_HTTPS: whatever comes in was https, but for what this machine asks of itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] == "http" and not is_loopback_name(Headers(scope=scope).get("host", "")):
            scope["scheme"] = "https"
        await self._app(scope, receive, send)
