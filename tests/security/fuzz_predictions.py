"""Prediction files: those that people send, and those that travel from run to run."""

import csv
import io
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from app.runs import predictions as of_runs
from app.submissions import writing
from app.submissions.format import SubmissionFormat
from app.submissions.malformed import KINDS, Malformed
from app.submissions.reading import read_predictions
from ml import prediction_files
from ml.contract.scores import Scores
from ml.errors import RunError
from tests.security.fuzz_mutation import mutated
from tests.security.fuzz_workshop import Workshop

_NAME = "predictions.bin"
_TEXTS = (
    "你好，世界",
    "a, b",
    'say "hi"',
    "1 2 3",
    "\u2028x",
    "'",
    "label",
    "0.5",
    "e\u0301",
    "  two  spaces ",
    "\xa0n",
)
_VALUES = (0.0, 1.0, 0.5, 0.25, 1e-300, 5e-324, 0.1 + 0.2, 1 - 2**-53, 0.123456789012345678, 1e-7)
#: in a cell where a number from 0 to 1, or a label, is asked for
_WRONG = (
    *(
        "2",
        "-1",
        "1.5",
        "abc",
        "nan",
        "inf",
        "-inf",
        "\u0131nf",
        "1_0",
        "\uff11",
        "0x1",
        "50%",
        "'1'",
        '"',
        "1e400",
        "½",
    ),
    *("1" * 400, "0.5.5", "--1", "yes", "\u202e1", "Infinity", "In\u017finity", "\u0131nf\u0131n\u0131ty", "²"),
)
_ID_WRONG = ("x", "-5", "1e2", "\u0661", "²", "9" * 30, "1.0", "", " ")
#: faults that are told of the whole file
_OF_FILE = {"too_few_rows", "too_many_rows", "id_missing", "header_unexpected", "header_missing", "blank_line"}


@dataclass(frozen=True)
class Sent:
    """A file in a form. `values`: what has to come out; `fault`: the line of what must not be taken."""

    content: bytes
    form: SubmissionFormat
    rows: int
    sentences: list[tuple[str, str]] | None
    values: tuple[float, ...] | None = None
    fault: int = 0


@cache
def forms() -> list[SubmissionFormat]:
    """Of every kind."""
    draw, found = Random(5), []
    for _ in range(120):
        columns = draw.sample(("id", "probability", "label", "a", "b"), draw.randint(1, 5))
        if not {"probability", "label"} & set(columns):
            columns.append("probability")
        found.append(
            SubmissionFormat(
                columns=tuple(columns),
                header=tuple(f"c{number}" for number in range(len(columns))) if draw.random() < 0.5 else (),
                separator=draw.choice(("tab", "comma")),
                decimals=draw.choice((None, 1, 6, 17)),
                first_id=draw.choice((0, 1)),
                line_end=draw.choice(("lf", "crlf")),
                zipped=draw.random() < 0.3,
            )
        )
    return found


def _good(draw: Random) -> tuple[Sent, list[bytes]]:
    """A file as pairboard itself writes it, and its lines."""
    form, rows = draw.choice(forms()), draw.randint(1, 6)
    values = [draw.choice(_VALUES) if draw.random() < 0.5 else draw.random() for _ in range(rows)]
    pairs = [(draw.choice(_TEXTS), draw.choice(_TEXTS)) for _ in range(rows)]
    text = [line.encode() for line in writing.lines(form, values, pairs)]
    told = tuple(
        float(writing.decimal(value, form.decimals)) if "probability" in form.columns else float(value >= 0.5)
        for value in values
    )
    content = writing.written(form, values, pairs)
    return Sent(content, form, rows, pairs if form.with_sentences else None, told), text


def _packed(form: SubmissionFormat, content: bytes) -> bytes:
    return _zip([(form.file_name, content)]) if form.zipped else content


def _zip(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def draw_sent(draw: Random) -> Sent:
    """Any bytes."""
    sent, text = _good(draw)
    content, plain = sent.content, b"".join(text)
    kind = draw.random()
    if kind < 0.15:
        names = [draw.choice((sent.form.file_name, "a/", "../x", "/x", "C:\\x", "d/x", "\ud83d\ude00", "é", ""))]
        names = names if draw.random() < 0.8 else [*names, "b.tsv"]
        method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        content = _zip([(name.encode("utf-8", "replace").decode(), plain) for name in dict.fromkeys(names)], method)
    elif kind < 0.5 and sent.form.zipped:
        content = _packed(sent.form, mutated(draw, plain, [plain]))
    if kind >= 0.1 and (kind < 0.35 or kind >= 0.5 or not sent.form.zipped):
        content = mutated(draw, content, [plain, content, b"0.5\n0.25\n"])
    return replace(sent, content=content, values=None)


def check_sent(sent: Sent, _workshop: Workshop) -> bool:
    """A number from 0 to 1 for each row, or one of the known refusals, which names the file."""
    try:
        read = read_predictions(io.BytesIO(sent.content), _NAME, sent.form, sent.rows, sent.sentences)
    except Malformed as error:
        assert error.kind in KINDS
        assert _NAME in error.message
        assert len(error.message) < 2000
        return False
    assert len(read.values) == sent.rows
    assert ((read.values >= 0) & (read.values <= 1)).all()
    return True


def draw_rows(draw: Random) -> Sent:
    """A good file, or one with a single fault in a known line."""
    sent, text = _good(draw)
    if draw.random() < 0.3:
        return sent
    header = bool(sent.form.header)
    place = draw.randrange(sent.rows)
    end = writing.LINE_ENDS[sent.form.line_end].encode()
    column = draw.choice([name for name in sent.form.columns if name not in {"a", "b"}])
    wrong = draw.choice(_ID_WRONG if column == "id" else _WRONG)
    if sent.form.columns == (column,) and not wrong.strip():
        wrong = "x"  # an empty line at the end is none
    row = dict(zip(sent.form.columns, _cells(sent.form, text[place + header].decode()), strict=True))
    row[column] = wrong
    line = writing._joined(sent.form, [row[name] for name in sent.form.columns]).encode() + end
    text[place + header] = line
    return replace(sent, content=_packed(sent.form, b"".join(text)), values=None, fault=place + header + 1)


def _cells(form: SubmissionFormat, line: str) -> list[str]:

    line = line.rstrip("\r\n")
    sign = writing.SEPARATORS[form.separator]
    return next(csv.reader([line])) if form.with_sentences and sign == "," else line.split(sign)


def check_rows(sent: Sent, _workshop: Workshop) -> bool:
    """What was written comes back to the bit; one wrong cell refuses the whole, and its line is named."""
    try:
        read = read_predictions(io.BytesIO(sent.content), _NAME, sent.form, sent.rows, sent.sentences)
    except Malformed as error:
        assert sent.fault, error.message
        assert f"line {sent.fault}" in error.message or error.kind in _OF_FILE, error.message
        return False
    assert not sent.fault, f"line {sent.fault} was taken"
    assert tuple(read.values.tolist()) == sent.values
    return True


@dataclass(frozen=True)
class RunFiles:
    """What a run left. `whole`: nothing was changed."""

    valid: bytes
    test: bytes
    scores: bytes
    whole: bool


def draw_run(draw: Random) -> RunFiles:
    """The files of a run, changed or not."""
    count = draw.randint(0, 6)
    rows = sorted(draw.sample(range(100), count))
    valid = "".join(f"{row}\t{draw.randint(0, 1)}\t{draw.random()!r}\n" for row in rows).encode()
    test = "".join(f"{draw.random()!r}\n" for _ in range(count)).encode()
    part = Scores(roc_auc=draw.random(), accuracy=1, f1=0, log_loss=draw.random())
    held = None if draw.random() < 0.3 else part
    scores = prediction_files.RunScores(train=part, valid=held).model_dump_json().encode()
    if draw.random() < 0.2:
        return RunFiles(valid, test, scores, True)
    others = [valid, test, scores]
    return RunFiles(*(mutated(draw, content, others) for content in others), whole=False)


def check_run(files: RunFiles, workshop: Workshop) -> bool:
    """Only RunError, and in the app ValueError; what both take they take for the same, and it is what was written."""
    names = (prediction_files.VALID, prediction_files.TEST, prediction_files.SCORES)
    paths = [
        workshop.write(name, content)
        for name, content in zip(names, (files.valid, files.test, files.scores), strict=True)
    ]
    taken = [_taken(read, path) for read, path in zip(_READERS, paths, strict=True)]
    assert not files.whole or all(part is not None for part in taken)
    valid, test, _ = taken
    if test is not None:
        assert ((test >= 0) & (test <= 1 + 1e-9)).all()
    try:
        read = of_runs.read(paths[0])
    except ValueError:
        assert valid is None
    if valid is None:
        return False
    assert set(valid.labels_N.tolist()) <= {0, 1}
    assert ((valid.probabilities_N >= 0) & (valid.probabilities_N <= 1 + 1e-9)).all()
    assert (valid.rows[1:] > valid.rows[:-1]).all()
    assert (valid.rows >= 0).all()
    for own, other in (
        (read.rows_N, valid.rows),
        (read.labels_N, valid.labels_N),
        (read.probabilities_N, valid.probabilities_N),
    ):
        assert np.array_equal(own, other)
    return True


_READERS = (prediction_files.read_valid, prediction_files.read_test_predictions, prediction_files.read_scores)


def _taken(read: Any, path: Path) -> Any:
    try:
        return read(path)
    except RunError as error:
        assert path.name in str(error)
        return None
