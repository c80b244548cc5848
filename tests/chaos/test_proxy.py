"""The proxy cuts connections in the middle of an upload, and counts only those."""

import random
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy, Upload
from tests.chaos.servers import until

HEAD = b"PATCH /api/v1/runs/7/uploads/ab?offset=0 HTTP/1.1\r\nContent-Length: 200000\r\n\r\n"


@pytest.fixture
def arrived() -> Iterator[tuple[Proxy, list[int]]]:
    """A proxy before a server that only counts what it is sent, by connection."""
    sizes: list[int] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                number = len(sizes)
                sizes.append(0)
                while data := connection.recv(1 << 16):
                    sizes[number] += len(data)

    threading.Thread(target=serve, daemon=True).start()
    proxy = Proxy([server.getsockname()[1]], random.Random(1))
    yield proxy, sizes
    proxy.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_piece_is_followed_to_its_end() -> None:
    upload = Upload()
    upload.sees(b"POST /api/v1/runs/7/events HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    assert upload.left == 0
    upload.sees(HEAD + bytes(50_000))
    assert upload.left == 150_000
    upload.sees(bytes(150_000))
    assert upload.left == 0


def test_a_cut_hits_an_upload_and_nothing_else(arrived: tuple[Proxy, list[int]]) -> None:
    proxy, sizes = arrived
    proxy.mode = "cut uploads"
    with socket.create_connection(("127.0.0.1", proxy.port)) as other:
        other.sendall(b"POST /api/v1/runs/7/events HTTP/1.1\r\n" + bytes(100_000))
        until(lambda: sum(sizes) > 100_000, "the bytes of another call")
    assert proxy.uploads_cut == 0
    with socket.create_connection(("127.0.0.1", proxy.port)) as worker:
        with pytest.raises(OSError):  # noqa: PT011 - broken pipe or reset, as it comes
            worker.sendall(HEAD + bytes(50_000_000))
        until(lambda: proxy.uploads_cut == 1, "the cut to be counted")
    assert len(sizes) == 2
    assert 0 < sizes[1] < 200_000
