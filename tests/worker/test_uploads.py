"""The worker's client sends files to a real web server over a line that breaks again and again."""

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.bench import Proxy
from tests.factories import TINY, contest_over_http, experiment_over_http
from tests.processes import SetUp, set_up
from worker.client import Away, Client, Rejected
from worker.hardware import machine


class CountingProxy(Proxy):
    """Knows how many bytes went up."""

    sent = 0

    def passed(self, source: socket.socket, size: int) -> None:
        if source.getsockname()[1] == self.port:
            self.sent += size


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    with set_up(tmp_path_factory.mktemp("uploads")) as made:
        made.start_web()
        contest_over_http(made.http)  # type: ignore[arg-type]  # a client is a client
        yield made


@pytest.fixture
def proxy(line: SetUp) -> Iterator[CountingProxy]:
    made = CountingProxy([int(line.url.rsplit(":", 1)[1])], random.Random(5))
    yield made
    made.close()


@pytest.fixture
def client(line: SetUp, proxy: CountingProxy) -> Iterator[Client]:
    server, token = f"http://127.0.0.1:{proxy.port}", line.env["PAIRBOARD_WORKER_TOKEN"]
    made = Client(server, token, "w1", "boot-one-1", ["pairboard"])
    yield made
    made.close()


def claimed(line: SetUp, client: Client, seed: int) -> tuple[int, str]:
    experiment_over_http(line.http, config={**TINY, "pretrain": None, "seed": seed})  # type: ignore[arg-type]
    claim = client.claim(machine(Path("."), None))
    assert claim is not None
    return claim.job.run_id, claim.token


def test_a_file_goes_on_where_the_line_broke(line: SetUp, client: Client, proxy: CountingProxy, tmp_path: Path) -> None:
    run_id, token = claimed(line, client, 1)
    path = tmp_path / "model.safetensors"
    path.write_bytes(random.Random(1).randbytes(9_000_000))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    proxy.mode, cuts = "cut", 0
    while cuts < 2000:
        try:
            client.upload(run_id, token, "model.safetensors", path, sha256)
            break
        except Away:
            cuts += 1
    assert cuts > 20, "each connection passes less than 200,000 bytes"
    assert (line.folder / "data" / "storage" / sha256[:2] / sha256).read_bytes() == path.read_bytes()
    assert proxy.sent < 3 * 9_000_000, "bytes in the buffers of a cut connection are sent again, no more"
    before, proxy.mode = proxy.sent, "ok"
    client.upload(run_id, token, "twin.safetensors", path, sha256)
    assert proxy.sent - before < 2000, "equal bytes go up once"


def test_a_file_that_is_not_what_was_said_is_sent_twice_and_then_given_up(
    line: SetUp, client: Client, tmp_path: Path
) -> None:
    run_id, token = claimed(line, client, 2)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"other bytes")
    with pytest.raises(Rejected, match="do not have the sha256"):
        client.upload(run_id, token, "model.safetensors", path, "0" * 64)
