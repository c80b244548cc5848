"""The path under which a proxy serves us: PAIRBOARD_ROOT_PATH=/pairboard. Everything inside is written from `/`.

One place adds it: to addresses in templates (AddressesFromRoot), to redirects and cookies (RootPath); scripts read it
from <html data-root>. The proxy may pass the path on with it or without.
"""

import re
from contextvars import ContextVar
from urllib.parse import urlsplit

from jinja2 import Environment
from jinja2.ext import Extension
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_current: ContextVar[str] = ContextVar("root_path", default="")
_ADDRESS = re.compile(r'(\s(?:href|src|action|formaction|data-[a-z-]+)=")/(?!/)')
_MESSAGE = re.compile(r"({%-?\s*trans\b.*?\bendtrans\s*-?%})", re.DOTALL)
_COOKIE_PATH = re.compile(r"(;\s*path=)/(?=;|$)", re.IGNORECASE)


def current() -> str:
    """Of this request: "" or "/pairboard"."""
    return _current.get()


class AddressesFromRoot(Extension):
    """An attribute of a template that holds an address of ours, href="/queue", gets the root path before it."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["root"] = current

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002 - jinja's
        """Once a template, as it is compiled. Messages to be translated stay: see in_message."""
        parts = _MESSAGE.split(source)
        return "".join(part if n % 2 else _ADDRESS.sub(r"\1{{ root() }}/", part) for n, part in enumerate(parts))


def in_message(text: str) -> str:
    """A translated message that holds addresses, with the root path before them."""
    return _ADDRESS.sub(rf"\g<1>{current()}/", text) if current() else text


class RootPath:
    """ASGI middleware: inside, a request has the path without the root; outside, what leads to us has it."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _current.set(self._root)  # as with the language, nothing is put back: a request has a context of its own
        if scope["path"] == self._root or scope["path"].startswith(f"{self._root}/"):
            scope["path"] = scope["path"].removeprefix(self._root) or "/"
        host = Headers(scope=scope).get("host", "")

        async def send_from_root(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "location" in headers:
                    headers["location"] = self._address(headers["location"], host)
                cookies = headers.getlist("set-cookie")
                del headers["set-cookie"]
                for cookie in cookies:
                    headers.append("set-cookie", _COOKIE_PATH.sub(rf"\g<1>{self._root}", cookie))
            await send(message)

        await self._app(scope, receive, send_from_root)

    def _address(self, location: str, host: str) -> str:
        """Starlette's own redirects name the host, and the scheme of our side of the proxy."""
        parts = urlsplit(location)
        if parts.netloc not in {"", host} or not parts.path.startswith("/"):
            return location
        return f"{self._root}{parts._replace(scheme='', netloc='').geturl()}"
