"""The leak audit: does training read what a valid part is scored on? Called before each training, and on demand.

This file is the table of contents: checks count (leak_checks, near_duplicates, drift), LIMITS say from which number on
they are judged, the report holds numbers and the worst examples.
"""

import time
from dataclasses import dataclass

import numpy as np

from ml import leak_checks as checks
from ml.contract.leaks import Check, Drift, Example, Groups, LeakReport, Level, worst
from ml.drift import Portion, drifts
from ml.leak_checks import Found, Sides
from ml.leak_limits import LIMITS
from ml.pairs import Pairs
from ml.sentence_numbers import Ints, Numbered, Tokens, numbered, tokens_of

SHOWN = 20
LONGEST_TEXT = 200
#: an honest split has none of these, and a few of those
_NEVER = {"exact", "swapped", "sentences", "components", "closure"}
_NATURAL = {"normalised", "near"}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a file. `lines_N`: where each stands, from 1; 0: augmentation made it."""

    pairs: Pairs
    lines_N: Ints


def audit(
    train: Part,
    valid: Part,
    test: Part | None = None,
    *,
    train_rows: int | None = None,
    groups: Groups | None = None,
) -> LeakReport:
    """Look for `valid` in `train` (all that is trained on), and tell what `train` shares with `test`.

    `train_rows`: how many of `train` are of the file; None: all. `valid` has labels, `test` none. `groups`: how the
    split joined components, told as it is.
    """
    begin = time.perf_counter()
    parts = [train, valid, *([test] if test is not None else [])]
    numbers = numbered([part.pairs for part in parts])
    sides = [Sides(a, b, part.pairs.labels_N) for (a, b), part in zip(numbers.sides, parts, strict=True)]
    tokens = tokens_of(numbers.texts, ids=numbers.ids)
    judged = [_judged(found, parts) for found in _found(sides, numbers, tokens)]
    if test is not None:
        judged += [_judged(found, parts) for found in _of_test(sides[0], sides[2], numbers)]
    moved = _drifts(sides, numbers, tokens)
    return LeakReport(
        verdict=worst([item.level for item in (*judged, *moved)]),
        train_rows=len(train.pairs) if train_rows is None else train_rows,
        learnt_rows=len(train.pairs),
        valid_rows=len(valid.pairs),
        test_rows=len(test.pairs) if test is not None else 0,
        checks=tuple(judged),
        drifts=tuple(moved),
        seconds=time.perf_counter() - begin,
        groups=groups,
    )


def _found(sides: list[Sides], numbers: Numbered, tokens: Tokens) -> list[Found]:
    train, valid = sides[:2]
    repeated = list(checks.duplicates(train, valid, numbers))
    standing = np.concatenate([found.rows for found in repeated])
    implied, denied, inside = checks.closure(train, valid, numbers.count, standing)
    return [
        *repeated,
        checks.near(train, valid, numbers, tokens),
        checks.sentences("sentences", train, valid, numbers.count),
        checks.components(train, valid, numbers.count),
        implied,
        checks.written_otherwise(train, valid, numbers),
        checks.contradicted(train, valid, numbers, denied),
        inside,
    ]


def _of_test(train: Sides, test: Sides, numbers: Numbered) -> list[Found]:
    return [
        checks.sentences("test_sentences", train, test, numbers.count),
        checks.test_pairs(train, test, numbers),
    ]


def _judged(found: Found, parts: list[Part]) -> Check:
    train = parts[0]
    part = train if found.name == "contradictions" else parts[2] if found.name.startswith("test_") else parts[1]
    examples = [
        _example(part, row, train, behind)
        for row, behind in zip(found.rows[:SHOWN].tolist(), found.train_rows[:SHOWN].tolist(), strict=True)
    ]
    count, of = len(found.rows), len(part.pairs)
    suspicious, leaking = _limits(found.name, sum(len(item.pairs) for item in parts[:2]))
    level: Level = "info"
    if suspicious is not None:
        surely = at_least(count, of) if suspicious else count / of if of else 0.0
        level = "clean" if surely <= suspicious else "suspicious" if surely < leaking else "leaking"
    return Check(
        name=found.name,
        level=level,
        count=count,
        of=of,
        second=found.second,
        limit=suspicious,
        examples=tuple(examples),
    )


def _limits(name: str, rows: int) -> tuple[float | None, float]:
    """Above which share a check is suspicious, and from which on it leaks, as LIMITS say; None: it is told only."""
    natural = LIMITS.natural(rows)
    if name in _NEVER:
        return 0.0, LIMITS.leaking_share
    if name in _NATURAL:
        return natural * LIMITS.near_suspicious, natural * LIMITS.near_leaking
    if name == "written_otherwise":
        return natural * LIMITS.written_suspicious, natural * LIMITS.written_leaking
    return None, 1.0


def at_least(count: int, of: int) -> float:
    """The lower end of Wilson's (1927) one-sided 95% interval of a share."""
    if not of:
        return 0.0
    z, share = 1.6448536269514722, count / of
    middle = share + z * z / (2 * of)
    return float((middle - z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of))) / (1 + z * z / of))


def _example(part: Part, row: int, train: Part, behind: int) -> Example:
    labels = part.pairs.labels_N
    return Example(
        line=int(part.lines_N[row]) or None,
        a=part.pairs.a[row][:LONGEST_TEXT],
        b=part.pairs.b[row][:LONGEST_TEXT],
        label=int(labels[row]) if len(labels) else None,
        train_line=int(train.lines_N[behind]) or None if behind >= 0 else None,
        train_a=train.pairs.a[behind][:LONGEST_TEXT] if behind >= 0 else "",
        train_b=train.pairs.b[behind][:LONGEST_TEXT] if behind >= 0 else "",
        train_label=int(train.pairs.labels_N[behind]) if behind >= 0 else None,
    )


def _drifts(sides: list[Sides], numbers: Numbered, tokens: Tokens) -> list[Drift]:
    portions = [_portion(part, numbers) for part in sides]
    found = drifts(tokens, portions[0], portions[1], "train and valid", judged=True)
    if len(portions) > 2:
        found += drifts(tokens, portions[0], portions[2], "train and test", judged=False)
        found += drifts(tokens, portions[1], portions[2], "valid and test", judged=False)
    return found


def _portion(part: Sides, numbers: Numbered) -> Portion:
    component = checks.connected(numbers.count, part.a, part.b)
    return Portion(numbers.normal_of[part.a], numbers.normal_of[part.b], component[part.a], part.labels)
