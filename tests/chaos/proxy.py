"""A TCP proxy between workers and web, which can be told to refuse, delay and cut; it knows a worker's upload when it
sees one, so that a cut in the middle of a file can be made on purpose, and counted."""

import contextlib
import random
import re
import socket
import threading
import time
from typing import Literal

Mode = Literal["ok", "refuse", "delay", "cut", "cut uploads"]
UPLOAD = b"PATCH /api/v1/runs/"  # a piece of a file (app/runs/upload_api.py)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Upload:
    """What one direction of a connection carries: how many bytes of a file's piece are still to come."""

    def __init__(self) -> None:
        self.left = 0

    def sees(self, data: bytes) -> None:
        """Follow the stream. Requests of one connection come one after the other, each in a read of its own."""
        if self.left:
            self.left = max(0, self.left - len(data))
        elif data.startswith(UPLOAD):
            head, _, body = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            self.left = max(0, (int(length[1]) if length else 0) - len(body))


class Proxy:
    """Passes TCP connections on to one of several ports; told to, it refuses, delays or cuts them."""

    def __init__(self, targets: list[int], draw: random.Random) -> None:
        self.mode: Mode = "ok"
        self.uploads_cut = 0  # connections that we broke while a piece of a file was on its way
        self._targets, self._draw = targets, draw
        self._counting = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.mode == "refuse":
            client.close()
            return
        for port in self._draw.sample(self._targets, len(self._targets)):
            with contextlib.suppress(OSError):
                web = socket.create_connection(("127.0.0.1", port), timeout=2)
                break
        else:
            client.close()
            return
        web.settimeout(None)
        self._open.add(web)
        for source, target, upload in ((client, web, Upload()), (web, client, None)):
            threading.Thread(target=self._pump, args=(source, target, upload), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, upload: Upload | None) -> None:
        left = self._draw.randrange(1, 200_000)  # bytes that a connection in mode cut passes before it breaks
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if upload is not None:
                    upload.sees(data)
                if self.mode == "delay":
                    time.sleep(self._draw.random())
                left -= len(data)
                if self._breaks(left, upload):
                    if upload is not None and upload.left:
                        target.sendall(data[: self._draw.randrange(len(data))])  # the web has some of it
                        with self._counting:
                            self.uploads_cut += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def _breaks(self, left: int, upload: Upload | None) -> bool:
        if self.mode == "cut uploads":
            return upload is not None and upload.left > 0 and self._draw.random() < 0.5
        return self.mode == "refuse" or (self.mode == "cut" and left < 0)

    def close(self) -> None:
        """Take no more connections, and end those that are open."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in list(self._open):
            end.close()
