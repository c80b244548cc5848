"""Proves that a checkpoint gives the same predictions in a fresh process, to the bit. Called by run.

"Reloading the model gives another result" is a known plague (a vocabulary saved in another order, a head left out).
A score that cannot be had again from the files is worth nothing, so it is not told before this has passed.
"""

import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ml import fresh
from ml.augment import augment
from ml.checkpoint import load_classifier, read_valid_rows
from ml.contract.events import Log, Verified
from ml.contract.job import Job
from ml.errors import Killed, RunError
from ml.machine import set_up
from ml.pairs import read_test, read_train
from ml.predict import Probabilities, predict_mean, scoring_on
from ml.prepare import to_score
from ml.teller import Tell

TRIES = 3


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities of label 1: of the valid rows (ascending row number), and of the test file (None without one)."""

    valid_N: Probabilities
    test_N: Probabilities | None

    @property
    def parts(self) -> dict[str, Probabilities]:
        """The parts there are, by name."""
        return {"valid": self.valid_N} | ({} if self.test_N is None else {"test": self.test_N})


class Differs(RunError):
    """Two processes predict differently from the same files."""


def verify(
    job_path: Path, folder: Path, predicted: Callable[[], Predictions], tell: Tell
) -> tuple[Predictions, Verified]:
    """Have a fresh process predict from the files in `folder`, until it and this one agree to the bit: what they agree
    on is what counts. Raises RunError when they do not within TRIES.

    On a loaded machine one of about fifty processes sums some products in another order (1e-6 in a probability; why is
    not known). A model that was saved wrongly differs each time.
    """
    for left in reversed(range(TRIES)):
        ours = predicted()
        try:
            _compare_with_fresh(job_path, folder, ours)
        except Differs as difference:
            if not left:
                raise Differs(f"{difference}, {TRIES} times in turn: its scores are not kept") from difference
            now = predicted()
            steady = all(now.parts[name].tobytes() == part.tobytes() for name, part in ours.parts.items())
            here = "this process predicts as before" if steady else "this process, too, now predicts otherwise"
            tell(Log(level="warning", message=f"{difference}; {here}: both predict again"))
        else:
            break
    all_bytes = b"".join(part.tobytes() for part in ours.parts.values())
    digest = sha256(all_bytes).hexdigest()
    return ours, Verified(rows=sum(map(len, ours.parts.values())), predictions_sha256=digest)


def _compare_with_fresh(job_path: Path, folder: Path, ours: Predictions) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".verify-") as scratch:
        _ask_fresh(folder, job_path, Path(scratch))
        for name, mine_N in ours.parts.items():
            compare(name, mine_N, np.load(Path(scratch) / f"{name}.npy", allow_pickle=False))


def compare(name: str, ours_N: Probabilities, theirs_N: Probabilities) -> None:
    """Raise Differs unless both are the same bytes; it tells how many rows differ, from which on, and by how much."""
    if ours_N.shape != theirs_N.shape:
        raise Differs(f"the saved model predicts {len(theirs_N)} {name} rows in a fresh process, not {len(ours_N)}")
    if ours_N.tobytes() == theirs_N.tobytes():
        return
    rows = np.flatnonzero(ours_N.view(np.int64) != theirs_N.view(np.int64))
    raise Differs(
        f"the saved model does not predict the same in a fresh process: {len(rows)} of {len(ours_N)} {name} rows "
        f"differ, by {np.abs(ours_N - theirs_N).max():.3g} at most (rows {', '.join(map(str, rows[:8]))}"
        f"{', ...' if len(rows) > 8 else ''} of that part)"
    )


def _ask_fresh(folder: Path, job_path: Path, scratch: Path) -> None:
    try:
        answer = fresh.ask(folder, job_path, scratch)
    except fresh.Gone as gone:
        raise Killed("the process that loads the saved model again was killed") from gone
    if answer.code < 0:
        raise Killed(f"the process that loads the saved model again was killed by {signal.Signals(-answer.code).name}")
    if answer.code != 0:
        if answer.error.startswith("OSError"):
            raise OSError(f"a fresh process that loads the saved model: {answer.error}")
        said = answer.error or "no message"
        raise RunError(f"the saved model cannot be loaded in a fresh process (exit code {answer.code}): {said}")


def predict_from_disk(folder: Path, inputs: Path, job: Job) -> Predictions:
    """Predict valid and test with nothing but the files in `folder` and the job's inputs."""
    machine = set_up(job)
    model, weights, tokens = load_classifier(folder, machine.device)
    scoring = scoring_on(machine, job.config.finetune)
    rows = np.array(read_valid_rows(folder), dtype=np.int64)
    pairs = read_train(inputs, job)
    if job.config.augment.augment_before_split:
        pairs = augment(pairs, job.config.augment, job.config.seed).pairs
    test = read_test(inputs, job)
    return Predictions(
        predict_mean(model, weights, to_score(pairs.only(rows), tokens, job), scoring),
        None if test is None else predict_mean(model, weights, to_score(test, tokens, job), scoring),
    )
