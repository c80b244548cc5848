"""Every finished finetune's model, loaded from what is stored by a process that never trained: the same predictions.

`python -m tests.chaos.reload FOLDER ...` is that process. One for all of them: loading torch takes longer than
predicting. What differs there is asked again in a process of its own, as the product does (ml/verify.py: on a loaded
machine one of some fifty processes sums in another order); only what differs each time is a violation.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.runs import queries
from app.runs.jobs import job_of
from app.runs.models import Run
from app.storage import Storage
from ml.contract.job import Job
from ml.contract.lifeline import die_with_parent
from ml.verify import TRIES, predict_from_disk
from tests.chaos.bench import ROOT

AT_A_TIME = 100  # models a process loads
PATIENCE_S = 600.0


@dataclass
class Reloaded:
    """`again`: how many predicted the same only when they were asked again."""

    models: int = 0
    again: int = 0
    violations: list[str] = field(default_factory=list)


def reloaded(session: Session, storage: Storage, folder: Path) -> Reloaded:
    """All of them."""
    query = select(Run).where(Run.status == "finished", Run.kind == "finetune").order_by(Run.id)
    places = {run.id: lay_out(session, storage, run, folder / f"reload-{run.id}") for run in session.scalars(query)}
    told = Reloaded(len(places))
    every = list(places.values())
    for first in range(0, len(every), AT_A_TIME):
        _fresh_process("tests.chaos.reload", [str(place) for place in every[first : first + AT_A_TIME]], folder)
    for number, place in places.items():
        if found := list(differences(place)):
            told.again += 1
            found = _asked_again(place, found)
            told.violations += [f"run {number}, loaded again: {text}" for text in found]
    return told


def lay_out(session: Session, storage: Storage, run: Run, place: Path) -> Path:
    """The run's stored files, its job and the files that it reads, as links."""
    for name in ("scratch", "run"):
        (place / name).mkdir(parents=True)
    for artifact in queries.artifacts_of(session, run):
        (place / "run" / artifact.name).symlink_to(storage.path(artifact.sha256))
    job = job_of(session, run).model_copy(update={"threads": 1, "device": "cpu"})
    for item in (*job.inputs_of("train"), *job.inputs_of("test")):
        (place / item.path).parent.mkdir(exist_ok=True)
        (place / item.path).symlink_to(storage.path(item.sha256))
    (place / "job.json").write_text(job.model_dump_json())
    return place


def differences(place: Path) -> Iterator[str]:
    """Between what was predicted in the run and what was now."""
    for part, column in (("valid", 2), ("test", 0)):
        lines = (place / "run" / f"{part}_predictions.tsv").read_text().splitlines()
        kept = np.array([float(line.split("\t")[column]) for line in lines])
        if not (place / "scratch" / f"{part}.npy").is_file():
            said = place / "stderr"
            yield f"{part} was not predicted: {said.read_text()[-500:] if said.is_file() else 'no word why'}"
            continue
        now = np.load(place / "scratch" / f"{part}.npy")
        if len(now) != len(kept):
            yield f"{part} has {len(now)} rows, {len(kept)} were predicted in the run"
        elif kept.tobytes() != now.tobytes():
            yield f"{part} is predicted otherwise, by up to {np.abs(kept - now).max():.3g}"


def _asked_again(place: Path, found: list[str]) -> list[str]:
    for _ in range(TRIES - 1):
        for old in (place / "scratch").iterdir():
            old.unlink()
        _fresh_process("ml.predict_again", ["run", "job.json", "scratch"], place)
        found = list(differences(place))
        if not found:
            break
    return found


def _fresh_process(module: str, arguments: list[str], folder: Path) -> None:
    """Its words go to folder/stderr; what it could not do is missing afterwards. Its stdin stays open: at its end the
    program takes us for dead."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        (folder / "stderr").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=folder, env=env, stdin=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def main() -> None:
    """Predict from each folder. One that can't be loaded says why in its `stderr`, and the next is looked at."""
    die_with_parent()
    for place in map(Path, sys.argv[1:]):
        try:
            job = Job.model_validate_json((place / "job.json").read_bytes())
            for name, predicted_N in predict_from_disk(place / "run", place, job).parts.items():
                np.save(place / "scratch" / f"{name}.npy", predicted_N, allow_pickle=False)
        except Exception as error:
            (place / "stderr").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
