"""`python -m ml.audit`: an AuditAsk as JSON on stdin, the AuditAnswer as JSON on stdout. Never loads torch.

Started by the app for a page, REST and `pairboard audit`; a run audits its own split (split_audit).
"""

import sys
from array import array
from pathlib import Path

import numpy as np

from ml.augment import augment
from ml.contract.collector import collector_rests
from ml.contract.leaks import AuditAnswer, AuditAsk, AuditFile, LeakReport
from ml.contract.pair_file import BadRow, FileKind, read_rows
from ml.errors import RunError
from ml.leaks import Part, audit
from ml.pairs import Pairs
from ml.sentence_numbers import Ints
from ml.split import Split, make_split


def main() -> int:
    """One question, one answer; a crash is a traceback on stderr and code 1."""
    with collector_rests():
        sys.stdout.write(answer(AuditAsk.model_validate_json(sys.stdin.read())).model_dump_json() + "\n")
    return 0


def answer(ask: AuditAsk) -> AuditAnswer:
    """The report, or in one sentence why there can be none."""
    try:
        return AuditAnswer(report=_report(ask))
    except RunError as error:
        return AuditAnswer(error=str(error))


def _report(ask: AuditAsk) -> LeakReport:
    train = _read(ask.train, "train")
    test = _read(ask.test, "test") if ask.test else None
    if ask.valid:
        return audit(train, _read(ask.valid, "train"), test)
    pairs, before = train.pairs, ask.augment.augment_before_split
    if before:
        pairs = augment(pairs, ask.augment, ask.seed).pairs
    if ask.data.folds and ask.fold >= ask.data.folds:
        raise RunError(f"there is no fold {ask.fold} of {ask.data.folds}: they are counted from 0")
    split = make_split(pairs, ask.data, ask.fold if ask.data.folds else None)
    if not len(split.valid_rows):
        raise RunError("data.full_data holds nothing out: there is no split to audit; name a valid file")
    learnt = pairs.only(split.train_rows)
    if not before:
        learnt = augment(learnt, ask.augment, ask.seed).pairs
    return audit(
        *parts(pairs, learnt, split, train.lines_N), test, train_rows=len(split.train_rows), groups=split.groups
    )


def parts(pairs: Pairs, learnt: Pairs, split: Split, lines_N: Ints) -> tuple[Part, Part]:
    """What is trained on and what is held out. Rows that augmentation made, behind those of the file, have no line."""
    lines_N = np.concatenate([lines_N, np.zeros(len(pairs) - len(lines_N), np.int64)])
    made = np.zeros(len(learnt) - len(split.train_rows), np.int64)
    train = Part(learnt, np.concatenate([lines_N[split.train_rows], made]))
    return train, Part(pairs.only(split.valid_rows), lines_N[split.valid_rows])


def _read(file: AuditFile, kind: FileKind) -> Part:
    a, b = list[str](), list[str]()
    labels, lines = array("b"), array("q")
    for row in read_rows(Path(file.path), file.layout, kind):
        if isinstance(row, BadRow):
            if not file.layout.skip_bad_rows:
                raise RunError(f"{file.name} line {row.line}: {row.reason} ({row.text[:80]!r}): mend the line")
            continue
        a.append(row.a)
        b.append(row.b)
        lines.append(row.line)
        if row.label is not None:
            labels.append(row.label)
    if not a:
        raise RunError(f"{file.name} has no good rows: there is nothing to read")
    return Part(Pairs(a, b, np.frombuffer(labels, np.int8)), np.frombuffer(lines, np.int64))


if __name__ == "__main__":
    sys.exit(main())
