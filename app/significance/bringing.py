"""Predictions that somebody brings of a row that was trained elsewhere: of the rows that it held out, and of the test
file. From then on it is judged, blended and sent as any other. Called by bringing_api and bringing_pages.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.components import components_of
from app.contests.models import Contest, ContestFile
from app.contests.sentences import read_sentences
from app.errors import Conflict, FieldError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import elsewhere
from app.runs import queries as run_queries
from app.runs.models import Run
from app.runs.predictions import FILE
from app.significance.delong import Floats, aucs, interval
from app.storage import Storage
from app.submissions import cells, remembering, uploaded
from app.submissions import queries as submission_queries
from app.submissions.stored import PREDICTIONS_OF_TEST
from app.submissions.uploaded import Came
from ml.contract.events import Scored
from ml.contract.pair_file import PairFileLayout
from ml.contract.scores import Scores

#: of a line of valid predictions: three numbers
ROW_BYTES = 256
SCORES = "scores.json"


@dataclass(frozen=True)
class Held:
    """What was predicted for N rows of the train file, by ascending number, with their labels there."""

    rows_N: NDArray[np.int64]
    labels_N: NDArray[np.bool_]
    probabilities_N: Floats


def train_file(session: Session, contest: Contest, number: int | None) -> ContestFile:
    """The train file that is meant: the newest unless named. Raises Refused."""
    if number is None:
        found = next(iter(contest_queries.files(session, contest.id, "train")), None)
        if found is None:
            message = _("contest %(slug)s has no train file yet: upload one first", slug=repr(contest.slug))
            raise Refused(message, [FieldError("train_file_id", message)])
        return found
    found = contest_queries.file(session, contest.id, number)
    if found.kind != "train":
        message = _("file %(id)s (%(name)s) is no train file", id=number, name=found.name)
        raise Refused(message, [FieldError("train_file_id", message, str(number))])
    return found


def read_valid(storage: Storage, file: ContestFile, content: bytes, name: str) -> Held:
    """Lines of row (of the train file's good rows, from 0), label and probability, divided by tabs, as a run leaves
    them in valid_predictions.tsv. Raises Refused that names the line: also for a label that is not the train file's,
    for then these are other rows."""
    path, layout = storage.existing(file.sha256, file.name), PairFileLayout.model_validate(file.layout)
    labels = read_sentences(path, layout, "train").labels
    found: dict[int, float] = {}
    if len(content) > (len(labels) + 1) * ROW_BYTES:
        told = {"file": name, "size": len(content), "rows": len(labels)}
        raise _refused(_("%(file)s has %(size)s bytes: more than %(rows)s rows take", **told))
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise _refused(_("%(file)s is not UTF-8: save it as UTF-8", file=name)) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            row, probability = _of_line(line.strip(), {"file": name, "line": number}, labels)
            if row in found:
                told = {"file": name, "line": number, "row": row}
                raise _refused(_("%(file)s, line %(line)s: row %(row)s stands there twice", **told), line)
            found[row] = probability
    rows_N = np.array(sorted(found), np.int64)
    if len(np.unique(labels[rows_N])) < 2:
        told = {"file": name, "rows": len(rows_N)}
        raise _refused(_("%(file)s holds %(rows)s rows, and not both labels: an AUC needs both", **told))
    return Held(rows_N, labels[rows_N] == 1, np.array([found[row] for row in rows_N.tolist()]))


def _of_line(line: str, where: dict[str, object], labels: NDArray[np.int8]) -> tuple[int, float]:
    told, parts = {**where, "value": repr(line[:50])}, line.split("\t")
    row = cells.whole_number(parts[0])
    if len(parts) != 3 or row is None or parts[1].strip() not in {"0", "1"}:
        message = _(
            "%(file)s, line %(line)s: %(value)s is no row number, label and probability, divided by tabs", **told
        )
        raise _refused(message, line)
    if row >= len(labels):
        told |= {"row": row, "last": len(labels) - 1}
        raise _refused(_("%(file)s, line %(line)s: the train file's rows go from 0 to %(last)s, not %(row)s", **told))
    if int(parts[1]) != int(labels[row]):
        told |= {"row": row, "label": int(labels[row])}
        message = _(
            "%(file)s, line %(line)s: row %(row)s has the label %(label)s in the train file: these are other rows, or "
            "another file",
            **told,
        )
        raise _refused(message, line)
    return row, cells.probability(parts[2], where)


def bring(
    session: Session,
    storage: Storage,
    contest: Contest,
    experiment: Experiment,
    *,
    train: ContestFile,
    held: Held | None,
    came: Came | None,
    who: str,
) -> Run:
    """The row predicts so from now on; of what is not brought the last stays. Raises Conflict for a row that was
    trained here, or that has valid predictions of another train file; Refused for nothing at all."""
    submission_queries.lock_experiment(session, experiment)
    if experiment.origin != "external":
        told = {"id": experiment.id, "name": experiment.name}
        raise Conflict(_("experiment %(id)s (%(name)s) was trained here: its runs predict for it", **told))
    if held is None and came is None:
        message = _("bring a file: predictions of the rows held out, of the test file, or both")
        raise Refused(message, [FieldError("valid", message), FieldError("test", message)])
    if held is None and experiment.train_file_id not in {None, train.id} and _has(session, experiment, FILE):
        raise Conflict(_("its valid predictions are of another train file: bring those of this one, too"))
    experiment.train_file_id = train.id
    files, scored = dict[str, bytes](), None
    if held is not None:
        scored = _scored(held, components_of(storage, train)[held.rows_N])
        files |= {FILE: _lines(held), SCORES: _json(scored.scores)}
    if came is not None:
        experiment.test_file_id = came.test.id
        files[PREDICTIONS_OF_TEST] = "".join(f"{value!r}\n" for value in came.read.values.tolist()).encode()
    run = elsewhere.bring(session, storage, experiment, files, scored, who)
    if came is not None:  # its own hash finds the row, too
        file, _checks = uploaded.gate(session, storage, contest, experiment, came, "")
        remembering.keep_uploaded(session, experiment.id, file)
    return run


def _has(session: Session, experiment: Experiment, name: str) -> bool:
    run = run_queries.final_run(session, experiment.id)
    return run is not None and any(item.name == name for item in run_queries.artifacts_of(session, run))


def _scored(held: Held, clusters_N: NDArray[np.int64]) -> Scored:
    """As a run tells it; the AUC's interval by DeLong over components, None where all rows hang together."""
    from sklearn import metrics  # a second to import, and few requests come here

    guesses_N = held.probabilities_N >= 0.5
    try:
        found = aucs(held.labels_N, held.probabilities_N[None], clusters_N)
        ends = interval(float(found.auc_K[0]), float(found.covariance_KK[0, 0]))
    except ValueError:
        ends = None
    scores = Scores(
        roc_auc=float(metrics.roc_auc_score(held.labels_N, held.probabilities_N)),
        accuracy=float(metrics.accuracy_score(held.labels_N, guesses_N)),
        f1=float(metrics.f1_score(held.labels_N, guesses_N, zero_division=0.0)),
        log_loss=float(metrics.log_loss(held.labels_N, held.probabilities_N, labels=[False, True])),
    )
    return Scored(split="valid", rows=len(held.rows_N), scores=scores, interval=ends)


def _lines(held: Held) -> bytes:
    out = io.StringIO()
    labels = held.labels_N.astype(int).tolist()
    for row, label, value in zip(held.rows_N.tolist(), labels, held.probabilities_N.tolist(), strict=True):
        out.write(f"{row}\t{label}\t{value!r}\n")
    return out.getvalue().encode()


def _json(valid: Scores) -> bytes:
    """scores.json, as a blend reads it of its members."""
    return f'{{"train": null, "valid": {valid.model_dump_json()}}}'.encode()


def _refused(message: str, value: str = "") -> Refused:
    return Refused(message, [FieldError("valid", message, value[:100])])
