"""kill -9 in the middle: the run starts again by itself, its scores stand once, and nothing that was said is lost."""

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.factories import TINY
from tests.processes import SetUp, set_up
from tests.test_straight_line import make_contest

#: trains for several seconds: long enough to be hit
LONGER: dict[str, Any] = {**TINY, "pretrain": None, "finetune": {**TINY["finetune"], "num_train_epochs": 60}}


def queue(line: SetUp, config: dict[str, Any]) -> int:
    body = {"name": "hit", "config": config}
    number: int = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()["id"]
    return number


@contextmanager
def at_work(folder: Path, config: dict[str, Any] = LONGER, **env: str) -> Iterator[tuple[SetUp, int]]:
    """A set-up whose worker is in the middle of an experiment, and the experiment's number."""
    with set_up(folder, **env) as line:
        line.start_web()
        line.start_worker()
        make_contest(line)
        number = queue(line, config)

        def training() -> bool:
            progress = line.experiment(number)["runs"][-1]["progress"]
            return progress is not None and progress["step"] > 10

        line.until(training, "training to begin")
        yield line, number


def scores_stand_once(found: dict[str, Any]) -> None:
    counted = Counter((score["split"], score["metric"]) for score in found["scores"])
    assert len(counted) == 8
    assert set(counted.values()) == {1}


def predictions(line: SetUp, found: dict[str, Any]) -> bytes:
    """Of the valid part, to the last bit."""
    run = found["runs"][-1]["id"]
    return line.http.get(f"/api/v1/runs/{run}/artifacts/valid_predictions.tsv").raise_for_status().content


def test_a_killed_worker(tmp_path: Path) -> None:
    """The run goes on from the last checkpoint that was sent, and ends as one that nobody killed."""
    with at_work(tmp_path, PAIRBOARD_WORKER_CHECKPOINT_SECONDS="0.2") as (line, number):
        line.kill("worker")
        line.start_worker()
        found = line.finished(number)
        assert len(found["runs"][0]["attempts"]) == 2
        scores_stand_once(found)
        assert found["runs"][0]["summary"]["resumed"]["step"] > 0
        whole = line.finished(queue(line, LONGER))
        assert predictions(line, found) == predictions(line, whole)


def test_a_killed_trainer(tmp_path: Path) -> None:
    """As the kernel does when memory is short: the run is tried again, and the page says why."""
    with at_work(tmp_path, PAIRBOARD_WORKER_CHECKPOINT_SECONDS="0.2") as (line, number):
        trainer = leader(trainers(line))
        os.kill(trainer, signal.SIGKILL)
        found = line.finished(number)
        first, second = found["runs"][0]["attempts"]
        assert (first["outcome"], second["outcome"]) == ("lost", "finished")
        assert first["reason"].startswith("the trainer was killed by SIGKILL")
        scores_stand_once(found)


def test_a_worker_that_never_comes_back(tmp_path: Path) -> None:
    """Another worker takes the run over once the lease has ended."""
    with at_work(tmp_path, PAIRBOARD_LEASE_SECONDS="3") as (line, number):
        line.kill("worker")
        line.env["PAIRBOARD_WORKER_NAME"] = "another"
        line.start_worker()
        found = line.finished(number)
        assert len(found["runs"][0]["attempts"]) == 2
        scores_stand_once(found)


def test_a_killed_web_server(tmp_path: Path) -> None:
    """The run ends while nobody listens; its scores arrive after the restart."""
    with at_work(tmp_path) as (line, number):
        line.kill("web")
        spools = line.folder / "data" / "worker"
        line.until(
            lambda: any('"type":"finished"' in path.read_text() for path in spools.rglob("events.jsonl")),
            "the run to finish",
        )
        line.start_web()
        found = line.finished(number)
        assert len(found["runs"][0]["attempts"]) == 1
        scores_stand_once(found)


def test_a_stopped_worker_gives_its_run_back(tmp_path: Path) -> None:
    """SIGTERM: the run saves itself and returns to the queue; another worker, which shares nothing with the first, goes
    on after the very step."""
    with at_work(tmp_path) as (line, number):
        assert line.stop("worker") == 0
        (run,) = line.experiment(number)["runs"]
        assert run["status"] == "queued"
        (attempt,) = run["attempts"]
        assert (attempt["outcome"], attempt["reason"]) == ("returned", "its worker was stopped")
        saved = run["summary"]["checkpointed"]
        assert f"Saved at step {saved['step']} of 480" in line.http.get(f"/experiments/{number}").text
        shutil.rmtree(line.folder / "data" / "worker")
        line.env["PAIRBOARD_WORKER_NAME"] = "another"
        line.start_worker()
        found = line.finished(number)
        scores_stand_once(found)
        assert found["runs"][0]["summary"]["resumed"]["step"] == saved["step"]
        assert f"Went on after step {saved['step']} of 480" in line.http.get(f"/experiments/{number}").text


def test_a_second_sigterm_ends_worker_and_trainer_at_once(tmp_path: Path) -> None:
    with at_work(tmp_path) as (line, number):
        trainer = leader(trainers(line))
        os.kill(trainer, signal.SIGSTOP)  # it will not end its step
        line.signal("worker", signal.SIGTERM)
        time.sleep(1)
        begin = time.monotonic()
        assert line.stop("worker") == 128 + signal.SIGTERM
        assert time.monotonic() - begin < 5
        line.until(lambda: not trainers(line), "the trainer to be gone")
        assert line.experiment(number)["runs"][0]["status"] == "running"  # until the worker is started anew
        line.start_worker()
        scores_stand_once(line.finished(number))


def trainers(line: SetUp) -> list[int]:
    """Process ids of trainers that work in the set-up's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").resolve().is_relative_to(line.folder / "data"):
                found.append(int(entry.name))
    return found


def leader(found: list[int]) -> int:
    """The trainer itself, not the fork that is to load its model."""
    (first,) = (process for process in found if os.getpgid(process) == process)
    return first


def test_cancelling_stops_the_trainer(tmp_path: Path) -> None:
    endless = {**LONGER, "finetune": {**LONGER["finetune"], "num_train_epochs": 1000}}
    with at_work(tmp_path, endless) as (line, number):
        assert line.http.post(f"/api/v1/experiments/{number}/cancel").is_success
        line.until(lambda: line.experiment(number)["status"] == "cancelled", "the run to be cancelled")
        after = queue(line, {**TINY, "pretrain": None})
        scores_stand_once(line.finished(after))  # the worker is free again


def test_a_worker_of_its_queue_takes_what_is_urgent_first(tmp_path: Path) -> None:
    """Through the real broker: one worker on two queues, started when three experiments wait; a second one drains."""
    tiny = {**TINY, "pretrain": None}
    with set_up(tmp_path, PAIRBOARD_WORKER_QUEUES="night,pairboard") as line:
        line.start_web()
        make_contest(line)
        numbers = {}
        for name, asked in (("plain", {}), ("night", {"queue": "night"}), ("urgent", {"priority": 10})):
            body = {"name": name, "config": {**tiny, "seed": len(name)}, "placement": asked}
            made = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()
            numbers[name] = made["id"]
        reasons = {item["reason"] for item in line.http.get("/api/v1/queue").json()["waiting"]}
        assert reasons == {"no worker is connected: start one with `pairboard worker`"}
        line.start_worker()
        found = {name: line.finished(number)["runs"][0] for name, number in numbers.items()}
        assert sorted(found, key=lambda name: str(found[name]["started_at"])) == ["urgent", "plain", "night"]
        (worker,) = line.http.get("/api/v1/workers").json()
        assert worker["queues"] == ["night", "pairboard"]
        assert worker["machine"]["hardware"]["memory_used_bytes"] > 0
        assert line.http.patch(f"/api/v1/workers/{worker['name']}", json={"draining": True}).is_success
        after = queue(line, tiny)
        line.until(
            lambda: "is draining" in line.http.get("/api/v1/queue").json()["waiting"][0]["reason"],
            "the reason to be told",
        )
        assert line.http.patch(f"/api/v1/workers/{worker['name']}", json={"draining": False}).is_success
        scores_stand_once(line.finished(after))  # rung for again by the sweeper
