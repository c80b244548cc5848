"""What open pages of a running experiment cost one web process: told by their stream, and asking again and again.

One real `pairboard web`; the run's events are posted as a worker does, one a second and now and then a line of its log.
First PAGES streams as browsers open them, which must each get every point; then as many pages that ask: how the runs
stand each second, points and lines each two, as the scripts do where there is no stream. The share is of one core.

    python benchmarks/open_pages.py [--pages 200] [--seconds 20]
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ml.contract.events import Event, Printed, Progress
from tests.factories import TINY, contest_over_http, experiment_over_http
from tests.processes import SetUp, set_up


class Voice:
    """Tells events of the run as its worker does."""

    def __init__(self, line: SetUp) -> None:
        contest_over_http(line.http)  # type: ignore[arg-type]  # the same verbs as the test client's
        made = experiment_over_http(line.http, config={**TINY, "pretrain": None})  # type: ignore[arg-type]
        self.run = made["runs"][0]["id"]
        worker = {"Authorization": f"Bearer {line.env['PAIRBOARD_WORKER_TOKEN']}"}
        body = {"worker": "w1", "boot_id": "boot-one"}
        claim = line.http.post(f"/api/v1/runs/{self.run}/claim", json=body, headers=worker).raise_for_status().json()
        self._headers = {"Authorization": f"Bearer {claim['token']}"}
        self._first, self.step = 1, 0

    async def tell(self, http: httpx2.AsyncClient) -> None:
        """A second's worth."""
        self.step += 1
        told: dict[str, Any] = {"learning_rate": 1e-3, "samples_per_second": 512.0, "seconds_left": 60.0}
        events: list[Event] = [
            Progress(
                stage="finetune", step=self.step, total_steps=9999, epoch=self.step / 100, loss=1 / self.step, **told
            )
        ]
        if self.step % 10 == 0:
            events.append(Printed(lines=(f"step {self.step}: a line of a library",)))
        body = {"first": self._first, "events": [event.model_dump(mode="json") for event in events]}
        sent = await http.post(f"/api/v1/runs/{self.run}/events", json=body, headers=self._headers)
        sent.raise_for_status()
        self._first += len(events)


#: of the charts of a finetune
SERIES = ("loss", "valid_roc_auc", "valid_log_loss", "learning_rate", "samples_per_second")


@dataclass
class Heard:
    """What the pages got."""

    steps: list[set[float]] = field(default_factory=list)
    bytes: int = 0
    answers: int = 0


async def listen(port: int, heard: Heard, steps: set[float]) -> None:
    """A page with a stream: a bare socket, so that this side is cheap."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/v1/experiments/1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    try:
        while line := await reader.readline():
            heard.bytes += len(line)
            if line.startswith(b'data: {"curves"'):
                heard.answers += 1
                curves = json.loads(line[6:])["curves"]
                steps.update(x for curve in curves if curve["series"] == "loss" for x in curve["x"])
    finally:
        writer.close()


async def ask(
    http: httpx2.AsyncClient, address: str, every: float, number: int, heard: Heard, cursor: str = ""
) -> None:
    """A page without: one of its scripts. Pages were not all opened at the same moment."""
    await asyncio.sleep(every * (number % 50) / 50)
    while True:
        begin = time.monotonic()
        joint = "&" if "?" in address else "?"
        answer = (await http.get(f"{address}{joint}after={cursor}" if cursor else address)).raise_for_status()
        heard.answers += 1
        heard.bytes += len(answer.content)
        if answer.headers["content-type"].startswith("application/json"):
            cursor = answer.json()["cursor"]
        await asyncio.sleep(max(0.0, every - (time.monotonic() - begin)))


async def measured(line: SetUp, voice: Voice, tasks: list[Any], seconds: float) -> float:
    """The web process's share of a core while the tasks run and the run tells an event a second."""
    process = psutil.Process(line.pid("web"))
    running = [asyncio.create_task(task) for task in tasks]
    async with httpx2.AsyncClient(base_url=line.url, timeout=60) as http:
        await asyncio.sleep(4)  # all are there
        begin, used = time.monotonic(), sum(process.cpu_times()[:2])
        while time.monotonic() - begin < seconds:
            pause = asyncio.create_task(asyncio.sleep(1))
            await voice.tell(http)
            await pause
        share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - begin)
        await asyncio.sleep(3)  # the last points arrive
    for task in running:
        task.cancel()
    for problem in await asyncio.gather(*running, return_exceptions=True):
        if not isinstance(problem, asyncio.CancelledError):
            raise SystemExit(f"a page failed: {problem!r}")
    return share


async def compare(line: SetUp, pages: int, seconds: float) -> dict[str, float]:
    """Both ways, one after the other, of the same web process."""
    voice, port = Voice(line), int(line.url.rpartition(":")[2])
    idle = await measured(line, voice, [], seconds / 2)
    print(f"no page open, an event a second: {idle:.1%} of a core")
    heard = Heard(steps=[set() for _ in range(pages)])
    before = voice.step
    share = await measured(line, voice, [listen(port, heard, steps) for steps in heard.steps], seconds)
    told = {float(step) for step in range(before + 1, voice.step + 1)}
    whole = sum(told <= steps for steps in heard.steps)
    print(
        f"{pages} streams: {share:.1%} of a core, {heard.answers / seconds:.0f} messages/s, {heard.bytes / 1e6:.1f} MB"
    )
    print(f"  {whole} of {pages} pages got each of {len(told)} points")
    if whole < pages:
        raise SystemExit("a page missed a point")

    limits = httpx2.Limits(max_connections=pages, max_keepalive_connections=pages)
    asked = Heard()
    async with httpx2.AsyncClient(base_url=line.url, timeout=120, limits=limits) as http:
        tasks = []
        curves = "/api/v1/curves/new?" + "&".join(f"series={name}" for name in SERIES)
        for number in range(pages):
            tasks.append(ask(http, "/experiments/1/status", 1, number, asked))
            tasks.append(ask(http, curves, 2, number, asked, f"{voice.run}:1:{voice.step}"))
            tasks.append(ask(http, f"/api/v1/runs/{voice.run}/log", 2, number, asked))
        polling = await measured(line, voice, tasks, seconds)
    rate = asked.answers / (seconds + 7)
    print(f"{pages} pages that ask: {polling:.1%} of a core, {rate:.0f} answers/s of {2 * pages} that they want")
    return {"open_pages": pages, "cpu_share": round(share, 4), "polling_cpu_share": round(polling, 4)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, set_up(Path(folder), PAIRBOARD_LEASE_SECONDS="3600") as line:
        line.start_web()
        found = asyncio.run(compare(line, args.pages, args.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
