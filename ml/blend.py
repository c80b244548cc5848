"""Puts predictions together: the folds and repeats of one experiment, or several experiments. Called by run.

Folds: each row's out-of-fold probability (mean over repeats), test predictions averaged. Fusion: members that predict
the same rows; mean, mean of ranks, mean of logits, or weights of the logits. Weights are found on the valid
predictions, which no member was trained on, and cross-fitted by component: the fusion's valid score is of rows that
its weights have not seen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from ml.contract.events import Scored
from ml.contract.fusion_config import FusionConfig
from ml.contract.job import Job, JobInput
from ml.contract.scores import Scores
from ml.errors import RunError
from ml.metrics import Labels, auc_interval, scores
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

CROSS_FITS = 5
_EDGE = 1e-7  # probabilities of 0 and 1 have no logit


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
    if fusion.method != "weights":
        mixed = [None if part is None else combine(part, fusion.method) for part in (valid_NM, test_NM)]
        assert mixed[0] is not None  # noqa: S101 - for the types
        return ValidPart(first.rows, first.labels_N, mixed[0]), mixed[1]
    honest_N = cross_fitted(valid_NM, first.labels_N, components_of(train)[first.rows])
    final = _fitted(valid_NM, first.labels_N)
    shares = ", ".join(f"{m.name} {w:.3f}" for m, w in zip(members, final.coef_[0], strict=True))
    log(tell, f"weights of the logits: {shares}; constant {final.intercept_[0]:.3f}")
    test_N = None if test_NM is None else final.predict_proba(_logits(test_NM))[:, 1]
    return ValidPart(first.rows, first.labels_N, honest_N), test_N


def combine(probabilities_NM: npt.NDArray[np.float64], method: str) -> Probabilities:
    """One column from M: mean; rank_mean (mean rank over N, in (0, 1)); logit_mean (sigmoid of the mean logit)."""
    if method == "mean":
        return np.asarray(probabilities_NM.mean(1))
    if method == "rank_mean":
        return np.asarray((rankdata(probabilities_NM, axis=0) - 0.5).mean(1) / len(probabilities_NM))
    return np.asarray(expit(_logits(probabilities_NM).mean(1)))


def cross_fitted(
    probabilities_NM: npt.NDArray[np.float64], labels_N: Labels, component_N: npt.NDArray[np.int64]
) -> Probabilities:
    """Each row's blend by weights that were found on the other parts, split by component."""
    found_N = np.empty(len(labels_N))
    parts = min(CROSS_FITS, len(np.unique(component_N)))
    if parts < 2:
        raise RunError("the valid rows hang together in one component: weights can't be cross-fitted, take rank_mean")
    cut = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    for others, held in cut.split(probabilities_NM, labels_N, component_N):
        if len(np.unique(labels_N[others])) < 2:
            raise RunError("too few valid rows of one label to find weights: take rank_mean")
        found_N[held] = _fitted(probabilities_NM[others], labels_N[others]).predict_proba(
            _logits(probabilities_NM[held])
        )[:, 1]
    return found_N


def _fitted(probabilities_NM: npt.NDArray[np.float64], labels_N: Labels) -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=1000).fit(_logits(probabilities_NM), labels_N)


def _logits(probabilities_NM: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(logit(np.clip(probabilities_NM, _EDGE, 1 - _EDGE)))
