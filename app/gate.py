"""What every request passes and every answer carries: the Host, the origin of what changes something, the headers.

ASGI middleware of main's. Who asks is none of its business: see security.py.
"""

import socket
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.language import gettext as _
from app.settings import EVERYWHERE, LOOPBACK_HOSTS, Settings, divided, is_loopback_name

#: they change nothing, so another site may as well ask for them: it can't read the answer
_SAFE = {"GET", "HEAD", "OPTIONS"}
_PORTS = {"http": 80, "https": 443}
ANY_HOST = "*"


def _policy(styles: str = "'self'") -> str:
    """Scripts and all else from our own files alone; nothing inline, no frame around us, no form to another site."""
    return (
        "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self' data:; "
        f"style-src {styles}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


#: Bokeh and Swagger UI put styles into the elements that they make; scripts come from our own files all the same
CHARTS_CSP = _policy("'self' 'unsafe-inline'")
HEADERS = {
    "Content-Security-Policy": _policy(),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",
}


class Gate:
    """Refuses a foreign Host (DNS rebinding) and what another site has a browser send (CSRF); sets the headers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._open_to_addresses = not settings.on_loopback
        listed = {host.lower() for host in divided(settings.allowed_hosts)}
        own = set() if settings.on_loopback else {socket.gethostname().lower(), settings.host.lower()} - EVERYWHERE
        self._hosts = {*LOOPBACK_HOSTS, *own, *listed}
        self._hsts = f"max-age={settings.hsts_days * 86400}" if settings.hsts_days else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out.setdefault(name, value)
                if self._lasts(scope):
                    out.setdefault("Strict-Transport-Security", self._hsts)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        answer = JSONResponse({"error": {"message": refusal, "fields": []}}, 403) if refusal else self.app
        await answer(scope, receive, send_with_headers)

    def _lasts(self, scope: Scope) -> bool:
        """Whether the browser is to come by https alone from now on: it did, and not to its own machine, where other
        programs serve plain http under the same name. Without subdomains, which may be other people's."""
        return bool(self._hsts) and scope["scheme"] == "https" and not is_loopback_name(_host_of(scope))

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._is_ours(_split(f"//{host}")):
            return _(
                "the Host %(host)s is not one of this server's: add it to PAIRBOARD_ALLOWED_HOSTS",
                host=repr(host[:100]),
            )
        if method in _SAFE:
            return None
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return _("this request comes from another site")
        origin = headers.get("origin")
        if origin is not None and not _same_place(_split(origin), _split(f"//{host}")):
            return _(
                "this request comes from %(origin)s, not from this site, %(host)s (a proxy has to pass the Host on)",
                origin=repr(origin[:100]),
                host=repr(host[:100]),
            )
        return None

    def _is_ours(self, host: SplitResult) -> bool:
        """An address can't be rebound to another machine: only names have to be listed."""
        name = (host.hostname or "").lower()
        if host.username is not None or host.path or host.query or host.fragment:
            return False
        if name in self._hosts or (ANY_HOST in self._hosts and name):
            return True
        return self._open_to_addresses and _is_address(name)


def _host_of(scope: Scope) -> str:
    return Headers(scope=scope).get("host", "")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _split(address: str) -> SplitResult:
    """As urlsplit; what is no address has no parts."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def _same_place(origin: SplitResult, host: SplitResult) -> bool:
    """Whether an origin is where the request went. One without a host (`null`: a sandboxed frame, a file) is not."""
    port = _PORTS.get(origin.scheme)
    return bool(origin.hostname) and (origin.hostname, origin.port or port) == (host.hostname, host.port or port)
