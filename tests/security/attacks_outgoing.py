"""Where a webhook could lead our server, and what its receiver could do to it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import select

from app.webhooks import sending
from app.webhooks.addresses import NotAllowed, place_of
from app.webhooks.models import Webhook
from tests.security.house import House, refused
from tests.security.table import attack

HOOKS = "/api/v1/contests/oppo/webhooks"
PRIVATE = (
    *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "localhost"),
    *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[ff02::1]", "[2001:db8::1]"),
)
CARRIED = ("[::ffff:127.0.0.1]", "[::ffff:a00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::]")
NUMBERS = ("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0")
SECRET = sending.new_secret()


def tried(house: House, url: str) -> str:
    return refused(house.member.post(HOOKS, json={"url": url, "events": ["score.best"]}), 422)


@contextmanager
def named(*answers: str) -> Iterator[mock.Mock]:
    """The name evil.example has these addresses, one more each time it is asked for."""
    kept, asked = socket.getaddrinfo, mock.Mock()

    def look_up(host: str, port: int, **more: Any) -> Any:
        if host != "evil.example":
            return kept(host, port, **more)
        asked(host)
        text = answers[min(asked.call_count, len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port)) for item in text.split(",")]

    with mock.patch("socket.getaddrinfo", look_up):
        yield asked


@contextmanager
def receiver(answer: bytes, wait: float = 0.0, repeat: int = 1) -> Iterator[tuple[int, list[bytes]]]:
    """Answers these bytes to each connection; its port, and what it got."""
    got: list[bytes] = []
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    line, _ = server.accept()
                except TimeoutError:
                    continue
                with line:
                    got.append(line.recv(65536))
                    try:
                        for _ in range(repeat):
                            line.sendall(answer)
                            if stop.wait(wait):
                                return
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], got
        finally:
            stop.set()
            thread.join()


def sent(url: str, allow: str = "127.0.0.0/8") -> str:
    return sending.send(url, SECRET, "msg_1", "{}", datetime.now(UTC), allow)


@attack("SSRF: a webhook to loopback, private, link-local and reserved addresses")
def private(house: House) -> None:
    for host in PRIVATE:
        assert "no public address" in tried(house, f"http://{host}/"), host
        assert "no public address" in tried(house, f"https://{host}:8443/x"), host


@attack("webhook: what signs, out of a copy of the database")
def stolen_secret(house: House) -> None:
    made = house.member.post(HOOKS, json={"url": "https://93.184.216.37/", "events": ["score.best"]}).json()
    with house.app.state.database.reading() as session:
        kept = list(session.scalars(select(Webhook.secret)))
    assert kept
    key = made["secret"].removeprefix(sending.PREFIX)
    assert not [text for text in kept if key in text or text.startswith(sending.PREFIX)]
    assert house.member.get(HOOKS).text.count(key) == 0, "and no route says it again"


@attack("SSRF: a cloud's metadata")
def metadata(house: House) -> None:
    for url in ("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"):
        tried(house, url)


@attack("SSRF: an IPv4 address carried in an IPv6 one")
def carried(house: House) -> None:
    for host in CARRIED:
        tried(house, f"http://{host}/")


@attack("SSRF: loopback as one number, in octal and in hexadecimal")
def numbers(house: House) -> None:
    for host in NUMBERS:
        tried(house, f"http://{host}/")


@attack("SSRF: a name that stands for a private address, or for a public and a private one")
def by_name(house: House) -> None:
    for addresses in ("10.0.0.1", "93.184.216.34,10.0.0.1", "127.0.0.1,93.184.216.34"):
        with named(addresses):
            tried(house, "https://evil.example/")


@attack("SSRF: DNS rebinding, public when looked at and private when connected to")
def rebinding(house: House) -> None:
    with named("93.184.216.34", "127.0.0.1") as asked, mock.patch("socket.create_connection") as connect:
        connect.side_effect = OSError("not today")
        assert "not today" in sent("http://evil.example/")
        assert asked.call_count == 1
        assert connect.call_args.args[0] == ("93.184.216.34", 80)
    with named("127.0.0.1"):
        assert "no public address" in sent("http://evil.example/", allow=""), "looked at again before each message"


@attack("SSRF: by a redirect to loopback")
def redirect(house: House) -> None:
    with receiver(b"HTTP/1.1 200 OK\r\n\r\n") as (inside, reached):
        told = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside}/secret\r\nContent-Length: 0\r\n\r\n"
        with receiver(told.encode()) as (port, got):
            assert "redirects are not followed" in sent(f"http://127.0.0.1:{port}/")
            assert len(got) == 1
        assert reached == []


@attack("SSRF: other schemes, user names, fragments and line breaks in the address")
def odd_addresses(house: House) -> None:
    for url in (
        *("file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "ftp://example.com/", "javascript:alert(1)", "x"),
        *("http://example.com@127.0.0.1/", "http://127.0.0.1#@example.com/", "http://example.com\\@127.0.0.1/"),
        *("http://example.com/\r\nX-Evil: 1", "http://example.com/ x", "http://ex\u2100mple.com/", "http:///x", ""),
        *("http://example.com:0/", "http://example.com:99999/", "http://[::1", f"https://example.com/{'x' * 600}"),
    ):
        tried(house, url)


@attack("SSRF: the allow list, to go further than it says")
def allow_list(house: House) -> None:
    place_of("http://127.0.0.1:9/", "127.0.0.0/8")
    for url, allow in (
        ("http://127.0.0.1/", "10.0.0.0/8, hooks.example"),
        ("http://10.0.0.1/", "127.0.0.0/8"),
        ("http://localhost/", "hooks.example"),
        ("http://[::1]/", "127.0.0.0/8"),
        ("http://127.0.0.1/", "127.0.0.1.example, 27.0.0.1"),
    ):
        with pytest.raises(NotAllowed):
            place_of(url, allow)


@attack("receiver: an answer without an end")
def endless_answer(house: House) -> None:
    with receiver(b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 100_000, repeat=10_000) as (port, _):
        assert len(sent(f"http://127.0.0.1:{port}/")) <= 500


@attack("receiver: a byte now and then, to hold up the others")
def slow_answer(house: House) -> None:
    began = datetime.now(UTC)
    with mock.patch.object(sending, "DEADLINE_S", 0.5), receiver(b"H", wait=0.1, repeat=100) as (port, _):
        assert sent(f"http://127.0.0.1:{port}/")
    assert (datetime.now(UTC) - began).total_seconds() < 5


@attack("receiver: a message that is sent again by somebody else, or changed")
def replayed(house: House) -> None:
    first = sending.signature(SECRET, "msg_1", 1000, "{}")
    for other in (("msg_2", 1000, "{}"), ("msg_1", 1001, "{}"), ("msg_1", 1000, "{ }")):
        assert sending.signature(SECRET, *other) != first
    assert sending.signature(sending.new_secret(), "msg_1", 1000, "{}") != first
    # a golden case of standardwebhooks.com's libraries
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = '{"test": 2432232314}'
    golden = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sending.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == golden


@attack("webhook: reads the secret of one that somebody else added")
def secret_again(house: House) -> None:
    with named("93.184.216.34"):
        made = house.member.post(HOOKS, json={"url": "https://evil.example/", "events": ["score.best"]})
    assert made.status_code == 201, made.text
    secret = made.json()["secret"]
    for path in (HOOKS, f"{HOOKS}/{made.json()['id']}/deliveries", "/contests/oppo/webhooks"):
        assert secret not in house.member.get(path).text
    refused(house.stranger.get(HOOKS, headers=house.worker), 403)
    house.member.delete(f"{HOOKS}/{made.json()['id']}")


@attack("webhook: of another contest, by its id")
def other_contests(house: House) -> None:
    with named("93.184.216.34"):
        made = house.member.post(HOOKS, json={"url": "https://evil.example/", "events": ["score.best"]}).json()
    other = f"/api/v1/contests/other/webhooks/{made['id']}"
    refused(house.member.patch(other, json={"on": False}), 404)
    refused(house.member.delete(other), 404)
    refused(house.member.post(f"{other}/test"), 404)
    refused(house.member.get(f"{other}/deliveries"), 404)
    house.member.delete(f"{HOOKS}/{made['id']}")
