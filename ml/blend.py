"""Puts predictions together: the folds and repeats of one experiment, or several experiments. Called by run.

Folds: each row's out-of-fold probability (mean over repeats), test predictions averaged. Fusion: members that predict
the same rows, by a method of ml.mixing. Weights are found on the valid predictions, which no member was trained on,
and cross-fitted by component: the fusion's valid score is of rows that its weights have not seen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.contract.events import Scored
from ml.contract.fusion_config import FusionConfig
from ml.contract.job import Job, JobInput
from ml.contract.scores import Scores
from ml.errors import RunError
from ml.metrics import auc_interval, scores
from ml.mixing import FOUND, Mix, combine, cross_fitted, fitted
from ml.pairs import Pairs, check_file, read_test, read_train
from ml.prediction_files import (
    SCORES,
    TEST,
    VALID,
    Probabilities,
    RunScores,
    ValidPart,
    read_scores,
    read_test_predictions,
    read_valid,
    write_scores,
    write_test,
    write_valid,
)
from ml.split import components_of
from ml.teller import Tell, log

#: what a method's weights weigh
_WEIGHED = {
    "weights": "weights of the logits",
    "greedy": "shares of the ranks",
    "constrained": "shares of the probabilities",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One training's, or one experiment's, predictions. `name` is for messages."""

    name: str
    valid: ValidPart
    test_N: Probabilities | None
    scores: RunScores


def blend(folder: Path, job: Job, out: Path, tell: Tell) -> list[str]:
    """Blend the job's members, write predictions and scores into `out`, tell Scored; returns the names of the files.

    Raises RunError for members that do not fit together, or do not fit the train and test files.
    """
    train, test = read_train(folder, job), read_test(folder, job)
    members = _members(folder, job)
    for member in members:
        _check(member, train, test)
    fusion = job.config.fusion
    if fusion is None:
        valid, test_N = _out_of_fold(members), _mean_test(members)
    else:
        valid, test_N = _fuse(members, fusion, train, tell)
    found = RunScores(train=None if fusion else _mean_train(members), valid=None)
    if len(valid.rows):
        found = RunScores(train=found.train, valid=scores(valid.labels_N, valid.probabilities_N))
    _write(out, valid, test_N, found)
    _tell_scores(tell, members, valid, found, train, fusion)
    return [VALID, SCORES] + ([] if test_N is None else [TEST])


def _write(out: Path, valid: ValidPart, test_N: Probabilities | None, found: RunScores) -> None:
    write_valid(out, valid.rows, valid.labels_N, valid.probabilities_N)
    write_scores(out, found)
    if test_N is not None:
        write_test(out, test_N)


def _tell_scores(
    tell: Tell, members: list[Member], valid: ValidPart, found: RunScores, train: Pairs, fusion: FusionConfig | None
) -> None:
    if found.train is not None:
        each = tuple(member.scores.train for member in members if member.scores.train)
        rows = len(train) if fusion is None else 0
        tell(Scored(split="train", rows=rows, scores=found.train, members=each))
    if found.valid is not None:
        each = tuple(member.scores.valid for member in members if member.scores.valid)
        interval = auc_interval(valid.labels_N, valid.probabilities_N, components_of(train)[valid.rows])
        tell(Scored(split="valid", rows=len(valid.rows), scores=found.valid, interval=interval, members=each))


def _members(folder: Path, job: Job) -> list[Member]:
    groups: dict[str, list[JobInput]] = {}
    for item in job.inputs_of("member"):
        check_file(folder, item)
        groups.setdefault(str(Path(item.path).parent), []).append(item)
    if len(groups) < 2:
        raise RunError(f"the job brings {len(groups)} members: a blend needs two or more")
    members = []
    for place, items in groups.items():
        paths = {item.name: folder / item.path for item in items}
        name = Path(place).name
        lacking = [wanted for wanted in (VALID, SCORES) if wanted not in paths]
        if lacking:
            raise RunError(f"{name} brings no {lacking[0]}: its run must be finished first")
        test_N = read_test_predictions(paths[TEST]) if TEST in paths else None
        members.append(Member(name, read_valid(paths[VALID]), test_N, read_scores(paths[SCORES])))
    return members


def _check(member: Member, train: Pairs, test: Pairs | None) -> None:
    valid = member.valid
    if len(valid.rows) and (valid.rows.max() >= len(train) or (train.labels_N[valid.rows] != valid.labels_N).any()):
        raise RunError(f"{member.name} predicts rows that are not in this train file: blend experiments of one file")
    if (member.test_N is None) != (test is None) or (
        member.test_N is not None and test is not None and len(member.test_N) != len(test)
    ):
        raise RunError(f"{member.name} has predictions for another test file: blend experiments of one file")


def _out_of_fold(members: list[Member]) -> ValidPart:
    """Each row that was held out, with the mean of the probabilities it got."""
    rows = np.concatenate([member.valid.rows for member in members])
    known, inverse, times = np.unique(rows, return_inverse=True, return_counts=True)
    total_N = np.bincount(inverse, np.concatenate([member.valid.probabilities_N for member in members]), len(known))
    labels_N = np.zeros(len(known), np.int8)
    labels_N[inverse] = np.concatenate([member.valid.labels_N for member in members])
    return ValidPart(known, labels_N, total_N / times if len(known) else total_N)


def _mean_test(members: list[Member]) -> Probabilities | None:
    tests = [member.test_N for member in members if member.test_N is not None]
    return np.mean(tests, axis=0) if tests else None


def _mean_train(members: list[Member]) -> Scores | None:
    found = [member.scores.train.model_dump() for member in members if member.scores.train]
    return Scores(**{name: float(np.mean([one[name] for one in found])) for name in found[0]}) if found else None


def _fuse(
    members: list[Member], fusion: FusionConfig, train: Pairs, tell: Tell
) -> tuple[ValidPart, Probabilities | None]:
    first = members[0].valid
    for member in members[1:]:
        if not np.array_equal(member.valid.rows, first.rows):
            raise RunError(
                f"{member.name} and {members[0].name} were validated on different rows: a fusion needs experiments "
                "of one split (data.split_seed, folds and valid_fraction the same)"
            )
    if not len(first.rows):
        raise RunError("the members have no valid predictions (data.full_data): there is nothing to score a fusion by")
    valid_NM = np.stack([member.valid.probabilities_N for member in members], axis=1)
    tests = [member.test_N for member in members if member.test_N is not None]
    test_NM = np.stack(tests, axis=1) if tests else None
    if fusion.method not in FOUND:
        mixed = [None if part is None else combine(part, fusion.method) for part in (valid_NM, test_NM)]
        assert mixed[0] is not None  # noqa: S101 - for the types
        return ValidPart(first.rows, first.labels_N, mixed[0]), mixed[1]
    component_N = components_of(train)[first.rows]
    honest_N = cross_fitted(valid_NM, first.labels_N, component_N, fusion.method, fusion.bags)
    final = fitted(valid_NM, first.labels_N, fusion.method, fusion.bags)
    log(tell, _in_words(members, final))
    return ValidPart(first.rows, first.labels_N, honest_N), None if test_NM is None else final.of(test_NM)


def _in_words(members: list[Member], found: Mix) -> str:
    each = ", ".join(f"{m.name} {w:.3f}" for m, w in zip(members, found.weights_M.tolist(), strict=True))
    constant = f"; constant {found.constant:.3f}" if found.method == "weights" else ""
    return f"{_WEIGHED[found.method]}: {each}{constant}"
