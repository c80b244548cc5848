"""A real set-up at work is backed up while experiments run and end, brought to a second place, and goes on there."""

from pathlib import Path
from typing import Any

import pytest

from app.keeping import manifest, restore
from tests.conftest import DATABASES, drop_postgres, new_postgres
from tests.processes import SetUp, set_up
from tests.test_straight_line import make_contest
from tests.test_survival import LONGER, predictions, queue, scores_stand_once

#: one that ends before the backups, and one in the middle of which they fall
CONFIGS = [
    {**LONGER, "seed": seed, "finetune": {**LONGER["finetune"], "num_train_epochs": epochs}}
    for seed, epochs in ((1, 2), (2, 100))
]


def backups_while_it_works(line: SetUp, numbers: list[int], folder: Path) -> list[Path]:
    """One after the other until one was made while the second experiment trained, all of it; a list of that one."""
    halfway: list[Path] = []
    while not halfway and any(line.experiment(number)["status"] in {"queued", "running"} for number in numbers):
        before = line.experiment(numbers[1])["runs"][0]
        told = line.cli("backup", str(folder))
        if before["status"] == "running" == line.experiment(numbers[1])["runs"][0]["status"]:
            halfway.append(Path(told.split(": ", 1)[0]))
    return halfway


def scores(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    return sorted((item["split"], item["metric"], item["value"], item["source"]) for item in found["scores"])


@pytest.mark.parametrize("kind", DATABASES)
def test_a_set_up_moves_while_it_works(kind: str, tmp_path: Path) -> None:
    urls = [new_postgres(), new_postgres()] if kind == "postgres" else []
    first, second = ({"PAIRBOARD_DATABASE_URL": url} for url in urls) if urls else ({}, {})
    folders = [tmp_path / name for name in ("first", "second", "backups")]
    for folder in folders:
        folder.mkdir()
    try:
        with set_up(folders[0], PAIRBOARD_WORKER_CHECKPOINT_SECONDS="0.2", **first) as line:
            line.start_web()
            line.start_worker()
            make_contest(line)
            numbers = [queue(line, config) for config in CONFIGS]
            ended = line.finished(numbers[0])
            halfway = backups_while_it_works(line, numbers, folders[2])
            assert halfway, "no backup fell into the second experiment's training"
            token = line.env["PAIRBOARD_WORKER_TOKEN"]
            moved = SetUp(folders[1], PAIRBOARD_WORKER_TOKEN=token, **second)
            try:
                taken_over(moved, line, halfway[0], numbers, ended)
            finally:
                moved.close()
    finally:
        for url in urls:
            drop_postgres(url)


def taken_over(moved: SetUp, line: SetUp, backup: Path, numbers: list[int], ended: dict[str, Any]) -> None:
    """The second place shows what the first showed then, and ends what the first ended after the backup, with the same
    numbers."""
    for made in manifest.backups(backup.parent):
        assert not restore.check(made).missing
    assert "1 runs that were under way wait in the queue again" in moved.cli("restore", str(backup))
    moved.start_web()
    assert scores(moved.experiment(numbers[0])) == scores(ended)
    assert moved.experiment(numbers[1])["status"] == "queued"
    moved.start_worker()
    for number in numbers:
        here, there = moved.finished(number), line.finished(number)
        scores_stand_once(here)
        assert scores(here) == scores(there)
        assert predictions(moved, here) == predictions(line, there)
    run = moved.experiment(numbers[1])["runs"][0]
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["returned", "finished"]
    assert run["attempts"][0]["reason"].startswith("restored from the backup of")
    assert "NOTHING WAS REMOVED" in moved.cli("gc")
