"""What people do while everything breaks: queue experiments, cancel one now and then, send online scores. Every answer
of 2xx is a promise, and is written down for the checks."""

import contextlib
import random
import threading
import uuid
from typing import Any

import httpx2

from tests.chaos.bench import Bench
from tests.chaos.score_checks import Sent
from tests.factories import TINY, pair_text

OPEN_AT_MOST = 3


class People(threading.Thread):
    """`sent`: the scores, and which of them were taken; `made`: experiments that were."""

    def __init__(self, bench: Bench, draw: random.Random) -> None:
        super().__init__(name="people", daemon=True)
        self._bench, self._draw = bench, draw
        self._http = httpx2.Client(timeout=10)
        self.stopping = threading.Event()
        self.sent = Sent()
        self.made: list[int] = []

    def ask(self, method: str, path: str, **sent: Any) -> Any:
        """The JSON of a 2xx answer of either web process, or None."""
        for port in self._draw.sample(self._bench.ports, 2):
            with contextlib.suppress(httpx2.HTTPError, ValueError):
                answer = self._http.request(method, f"http://127.0.0.1:{port}/api/v1{path}", **sent)
                if answer.is_success:
                    return answer.json() if answer.content else {}
        return None

    def insist(self, method: str, path: str, **sent: Any) -> Any:
        """Until it is taken."""
        while (found := self.ask(method, path, **sent)) is None:
            assert not self.stopping.wait(0.3), f"{method} {path} was never taken"
        return found

    def close(self) -> None:
        self._http.close()

    def prepare(self) -> None:
        self.insist("POST", "/contests", json={"name": "Chaos", "slug": "chaos"})
        for kind in ("train", "test"):
            text = pair_text(200, label=kind == "train")
            files = {"file": (f"{kind}.tsv", text.encode())}
            self.insist("POST", "/contests/chaos/files", files=files, data={"kind": kind})

    def run(self) -> None:
        while not self.stopping.wait(self._draw.random()):
            still_open = self.open()
            if still_open is not None and still_open < OPEN_AT_MOST:
                self._new_experiment()
            if self.made and self._draw.random() < 0.5:
                self._score(self._draw.choice(self.made))
            if self.made and self._draw.random() < 0.015:
                self.ask("POST", f"/experiments/{self.made[-1]}/cancel")
            self.hurry()

    def open(self) -> int | None:
        """How many runs wait or work; None: nobody answers."""
        found = self.ask("GET", "/queue")
        return None if found is None else len(found["waiting"]) + len(found["running"])

    def hurry(self) -> None:
        """Nobody here waits minutes for a run that lost its worker several times."""
        for item in (self.ask("GET", "/queue") or {"waiting": []})["waiting"]:
            if "the next one is in" in item["reason"]:
                self.ask("POST", f"/runs/{item['run_id']}/move", json={"to": "first"})

    def _new_experiment(self) -> None:
        finetune = {**TINY["finetune"], "num_train_epochs": self._draw.choice([2, 20, 50])}
        config: dict[str, Any] = {**TINY, "finetune": finetune, "seed": self._draw.randrange(4)}
        if self._draw.random() < 0.4:
            config["pretrain"] = None
        body = {"name": f"chaos {len(self.made)}", "config": config, "placement": {"max_attempts": 100}}
        if (found := self.ask("POST", "/contests/chaos/experiments", json=body)) is not None:
            self.made.append(found["id"])

    def _score(self, number: int) -> None:
        value = round(self._draw.uniform(0.5, 0.99), 6)
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        for _ in range(3):  # sent again like a program whose answer got lost
            if self.ask("POST", f"/experiments/{number}/online-scores", json={"value": value}, headers=headers):
                self.sent.accepted.append((number, value))
                return
        self.sent.unsure.append((number, value))
