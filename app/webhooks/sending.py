"""One message on its way: signed as Standard Webhooks says, to the address that was looked at, and nowhere else.

http.client, since nothing else lets us say which of a name's addresses to connect to: a second look-up could find
another one (DNS rebinding). Redirects are not followed, proxies of the environment not asked. Called by postman.
"""

import base64
import hashlib
import hmac
import http.client
import secrets
import socket
import ssl
import threading
from collections.abc import Mapping
from datetime import datetime

from app.webhooks.addresses import NotAllowed, Place, place_of

TIMEOUT_S = 10.0
#: for all of it: a receiver that answers a byte at a time holds up the others
DEADLINE_S = 20.0
MOST_ANSWER = 2000
PREFIX = "whsec_"


def new_secret() -> str:
    """Of a webhook; shown once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Of https://www.standardwebhooks.com: HMAC-SHA256 of id, time and body; the time keeps an old message from being
    sent again by somebody else."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def send(url: str, secret: str, message_id: str, body: str, now: datetime, allow: str) -> str:
    """Empty when it was taken; else why not."""
    timestamp = int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "pairboard-webhook",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    try:
        place = place_of(url, allow)
        status, text = _post(place, body.encode(), headers)
    except NotAllowed as error:
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:500]
    if 200 <= status < 300:
        return ""
    return f"{status}, redirects are not followed" if 300 <= status < 400 else f"{status} {text}"[:500]


class _Connection(http.client.HTTPConnection):
    """Connects to the address that was looked at, under the name that was given."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.host, place.port, timeout=TIMEOUT_S)
        self._place = place

    def connect(self) -> None:
        """TLS is checked against the name."""
        self.sock = socket.create_connection((self._place.ip, self._place.port), TIMEOUT_S)
        if self._place.scheme == "https":
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._place.host)


def _post(place: Place, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    connection = _Connection(place)
    connection.connect()
    watch = threading.Timer(DEADLINE_S, _cut, [connection.sock])
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", place.target, body, {"Host": place.host_header, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_ANSWER).decode("utf-8", "replace")
    finally:
        watch.cancel()
        connection.close()


def _cut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:  # it ended a moment before
        return
