"""The only place that opens sealed answers: taking them in, keeping them, and scoring by them.

They lie in data_dir/sealed, apart from the files that routes serve, readable by the web server's own user alone. No
route reads the folder; a backup holds it, since a restored contest must go on.
"""

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from app.errors import AppError, FieldError, Refused
from app.language import N_
from app.language import gettext as _
from app.sealed.scoring import score
from app.settings import Settings

Labels = NDArray[np.int8]
#: of each label, so that both parts have both
FEWEST_OF_A_LABEL = 2
_CHUNK = 1 << 20
#: words of messages
STATES = (N_("missing"), N_("damaged"))


@dataclass(frozen=True, repr=False)  # or a traceback that shows values would show them
class Answers:
    """The label of each test row, and which rows are of the public part."""

    labels: Labels
    public: NDArray[np.bool_]


@dataclass(frozen=True)
class Stored:
    """Where answers were put: the name and hash of their file, and how many rows are public."""

    name: str
    sha256: str
    public_rows: int


@dataclass(frozen=True)
class Scored:
    """Of one prediction file, to as many decimals as are told."""

    public: float
    private: float


def folder_of(settings: Settings) -> Path:
    """Of this set-up."""
    return (settings.data_dir / "sealed").resolve()


@contextmanager
def put_down(folder: Path, source: BinaryIO) -> Iterator[Path]:
    """An uploaded file of answers under a path while it is looked at; nobody else may read it, and it is gone after."""
    _make(folder)
    handle, name = tempfile.mkstemp(prefix="incoming-", dir=folder)  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def keep(folder: Path, labels: Labels, share: float) -> Stored:
    """Put answers away; the parts are drawn once, each with its share of both labels. Raises Refused for too few."""
    if min(np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)) < FEWEST_OF_A_LABEL:
        few = _("the answers need at least %(count)s rows of each label, some for either part", count=FEWEST_OF_A_LABEL)
        raise Refused(few, [FieldError("answers", few)])
    seed = secrets.randbits(32)
    public = _public(labels, share, seed)
    # the draw stands beside its seed: another version of scikit-learn may draw otherwise
    body = {"format": 1, "seed": seed, "public_share": share, "public": _digits(public), "labels": _digits(labels)}
    content, name = json.dumps(body).encode(), secrets.token_hex(16)
    _make(folder)
    path = folder / name
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    inside = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(inside)
    finally:
        os.close(inside)
    return Stored(name, hashlib.sha256(content).hexdigest(), int(public.sum()))


def remove(folder: Path, name: str) -> None:
    """Answers that nothing was scored by."""
    (folder / name).unlink(missing_ok=True)


def score_by(folder: Path, name: str, sha256: str, metric: str, predictions: NDArray[np.float64]) -> Scored:
    """Both parts of one prediction file. Raises AppError when the answers are gone or damaged."""
    answers = _load(folder, name, sha256)
    return Scored(
        score(metric, answers.labels[answers.public], predictions[answers.public]),
        score(metric, answers.labels[~answers.public], predictions[~answers.public]),
    )


def state(folder: Path, name: str, sha256: str) -> Literal["whole", "missing", "damaged"]:
    """Of a file, for a backup and its restore."""
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return "missing"
    return "whole" if hashlib.sha256(content).hexdigest() == sha256 else "damaged"


def _load(folder: Path, name: str, sha256: str) -> Answers:
    if (found := state(folder, name, sha256)) != "whole":
        told = {"state": _(found)}
        raise AppError(_("the sealed answers are %(state)s: restore them from a backup", **told))
    body = json.loads((folder / name).read_bytes())
    return Answers(_of_digits(body["labels"]), _of_digits(body["public"]) == 1)


def _digits(values: NDArray[Any]) -> str:
    return "".join("1" if value else "0" for value in values.tolist())


def _of_digits(text: str) -> NDArray[np.int8]:
    return (np.frombuffer(text.encode(), np.uint8) - ord("0")).astype(np.int8)


def _public(labels: Labels, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are public: drawn by label, so that the parts are alike."""
    from sklearn.model_selection import StratifiedShuffleSplit  # a second to import, and few requests come here

    count = min(max(round(share * len(labels)), FEWEST_OF_A_LABEL), len(labels) - FEWEST_OF_A_LABEL)
    draw = StratifiedShuffleSplit(n_splits=1, train_size=count, test_size=len(labels) - count, random_state=seed)
    chosen, _rest = next(draw.split(np.zeros(len(labels)), labels))
    public = np.zeros(len(labels), bool)
    public[chosen] = True
    for label in (0, 1):  # a share of few rows may round to none
        of_label = labels == label
        if not (public & of_label).any():
            public[np.flatnonzero(of_label)[0]] = True
        if not (~public & of_label).any():
            public[np.flatnonzero(of_label)[0]] = False
    return public


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
