"""Making, editing and tagging experiments, the archive, and writing their scores."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Required, TypedDict, Unpack

from pydantic import ValidationError
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.config_errors import field_errors
from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.db import clock
from app.errors import FieldError, Refused
from app.experiments import bests, queries, relatives
from app.experiments.models import Experiment, ExperimentField, ExperimentTag, Score
from app.language import gettext as _
from app.texts import checked_note
from ml.contract.events import Scored
from ml.contract.experiment import LEAKS_AUDITED, ExperimentConfig, flat, merge
from ml.contract.fingerprint import experiment_fingerprint, pretrain_reads
from ml.contract.presets import PRESETS, preset


def build_config(preset_name: str, changes: dict[str, Any], size: str = "") -> ExperimentConfig:
    """A preset (or the defaults) with changes laid over it; `size` is the preset's encoder.

    Raises Refused that names each field, value and bound.
    """
    try:
        base = preset(preset_name, size).model_dump() if preset_name else {}
    except ValueError as error:
        field = "size" if preset_name in PRESETS else "preset"
        raise Refused(str(error), [FieldError(field, str(error), size if field == "size" else preset_name)]) from error
    try:
        return ExperimentConfig.model_validate(merge(base, changes))
    except ValidationError as error:
        problems = field_errors(error)
        raise Refused(
            "; ".join(
                f"config.{p.field}: {p.message}" + (_(" (got %(value)s)", value=p.value) if p.value else "")
                for p in problems
            ),
            problems,
        ) from error


class Asked(TypedDict, total=False):
    """What a new experiment is made of. Files: the newest of their kind unless given."""

    name: Required[str]
    config: Required[ExperimentConfig]
    note: str
    train_file_id: int | None
    test_file_id: int | None
    unlabelled_file_id: int | None
    parent_id: int | None
    made_by: str


def create(session: Session, contest: Contest, **asked: Unpack[Asked]) -> Experiment:
    """A new row of what is asked; runs/service.queue_new makes its runs, too. Raises Refused as `prepared` does."""
    experiment = prepared(session, contest, **asked)
    experiment.id = queries.free_number(session)
    session.add(experiment)
    session.flush()
    add_fields(session, experiment)
    return experiment


def prepared(session: Session, contest: Contest, **asked: Unpack[Asked]) -> Experiment:
    """The row, looked over and not added yet.

    Raises Refused for a config that the contest's files, or the experiments it names, can't serve.
    """
    config, parent_id = asked["config"], asked.get("parent_id")
    name = checked_name(asked["name"])
    train = _file(session, contest, "train", asked.get("train_file_id"))
    if train is None:
        raise Refused(
            _("contest %(slug)s has no train file yet: upload one first", slug=repr(contest.slug)),
            [FieldError("train_file_id", _("no train file"))],
        )
    test = _file(session, contest, "test", asked.get("test_file_id"))
    reads = pretrain_reads(config)
    given = asked.get("unlabelled_file_id")
    unlabelled = _file(session, contest, "unlabelled", given) if "unlabelled" in reads else None
    for role, file in (("unlabelled", unlabelled), ("test", test)):
        if role in reads and file is None:
            field = "pretrain.unlabelled" if role == "unlabelled" else "pretrain.test_texts"
            message = _(
                "contest %(slug)s has no %(role)s file to pretrain on: upload one, or switch it off",
                slug=repr(contest.slug),
                role=_(role),
            )
            raise Refused(f"{field}: {message}", [FieldError(field, message)])
    relatives.check(session, contest, config, train.id, test.id if test else None)
    if parent_id is not None and queries.experiment(session, parent_id).contest_id != contest.id:
        raise Refused(
            _("experiment %(id)s is of another contest", id=parent_id),
            [FieldError("parent_id", _("of another contest"), str(parent_id))],
        )
    plain = config.model_dump(mode="json")
    return Experiment(
        contest_id=contest.id,
        name=name,
        note=checked_note(asked.get("note", "")),
        origin="pairboard",
        config=plain,
        family=family(plain, [file.id if file else None for file in (train, test, unlabelled)]),
        marks=relatives.marks(session, config),
        fingerprint=experiment_fingerprint(config, {f.kind: f.sha256 for f in (train, test, unlabelled) if f}),
        parent_id=parent_id,
        train_file_id=train.id,
        test_file_id=test.id if test else None,
        unlabelled_file_id=unlabelled.id if unlabelled else None,
        made_by=asked.get("made_by", ""),
        created_at=clock(session),
    )


def family(config: dict[str, Any], files: Sequence[int | None]) -> str:
    """The same for experiments that differ by their seed alone. `files`: ids of the train, test and unlabelled file."""
    plain = {name: part for name, part in config.items() if name not in {"seed", "name", "note"}}
    return hashlib.sha256(json.dumps([plain, files], sort_keys=True).encode()).hexdigest()


def add_fields(session: Session, experiment: Experiment) -> None:
    """The rows by which the table is searched for a new experiment's config; null is no value."""
    found = []
    for name, value in flat(experiment.config or {}).items():
        if value is not None:
            number = float(value) if isinstance(value, bool | int | float) else None
            row = {"contest_id": experiment.contest_id, "name": name, "experiment_id": experiment.id}
            found.append({**row, "text": field_text(value), "number": number})
    session.execute(insert(ExperimentField.__table__), found)  # type: ignore[arg-type]  # a table, typed as a clause


def field_text(value: Any) -> str:
    """A value of a config as the table is searched for it: true, 3, 0.0005, bert, or 0.7, 0.2, 0.1."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(field_text, value)) if isinstance(value, list) else str(value)


def _file(session: Session, contest: Contest, kind: str, file_id: int | None) -> ContestFile | None:
    if file_id is None:
        return next(iter(contest_queries.files(session, contest.id, kind)), None)
    file = contest_queries.file(session, contest.id, file_id)
    if file.kind != kind:
        message = _("file %(id)s (%(name)s) is a %(kind)s file", id=file_id, name=file.name, kind=_(file.kind))
        raise Refused(message, [FieldError(f"{kind}_file_id", message, str(file_id))])
    return file


def create_external(session: Session, contest: Contest, *, name: str, note: str) -> Experiment:
    """A row that was trained elsewhere: no config, no runs, finished."""
    experiment = Experiment(
        id=queries.free_number(session),
        contest_id=contest.id,
        name=checked_name(name),
        note=checked_note(note),
        origin="external",
        created_at=clock(session),
    )
    session.add(experiment)
    session.flush()
    return experiment


def edit(
    session: Session,
    experiment: Experiment,
    *,
    name: str | None = None,
    note: str | None = None,
    verdict: str | None = None,
) -> None:
    """Change what people say of it; what was asked never changes. None: left as it is. Raises Refused for a name or a
    verdict that does not fit into a line."""
    new_name = experiment.name if name is None else checked_name(name)
    new_verdict = experiment.verdict if verdict is None else _checked_verdict(verdict)
    experiment.name, experiment.verdict = new_name, new_verdict
    experiment.note = experiment.note if note is None else checked_note(note)
    session.flush()


def put_tag(session: Session, experiment: Experiment, tag: str) -> bool:
    """Whether it did not have it yet. Raises Refused for what is no tag."""
    tag = checked_tag(tag)
    if session.get(ExperimentTag, (experiment.id, tag)) is not None:
        return False
    session.add(ExperimentTag(experiment_id=experiment.id, tag=tag))
    session.flush()
    return True


def take_tag(session: Session, experiment: Experiment, tag: str) -> bool:
    """Whether it had it."""
    row = session.get(ExperimentTag, (experiment.id, checked_tag(tag)))
    if row is not None:
        session.delete(row)
        session.flush()
    return row is not None


def checked_tag(tag: str) -> str:
    """The tag without surrounding spaces. Raises Refused for one that a search could not name."""
    tag = tag.strip()
    if not re.fullmatch(r"[^\W_][\w.+-]{0,39}", tag):
        message = _("a tag is a word of at most 40 letters, digits and . + - _, with a letter or digit first")
        raise Refused(
            _("tag %(begin)s: %(message)s", begin=repr(tag[:50]), message=message),
            [FieldError("tag", message, tag[:50])],
        )
    return tag


def archive(session: Session, experiment: Experiment) -> bool:
    """Take it out of the table; whether it was there. The caller sees to it that nothing of it still runs."""
    if experiment.archived_at is not None:
        return False
    experiment.archived_at = clock(session)
    session.flush()
    return True


def restore(session: Session, experiment: Experiment) -> bool:
    """Put it back into the table; whether it was away."""
    if experiment.archived_at is None:
        return False
    experiment.archived_at = None
    session.flush()
    return True


def checked_name(name: str) -> str:
    """The name without surrounding spaces. Raises Refused for an empty, long or unprintable one."""
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        message = _("give a name of 1 to 200 printable characters, without line breaks")
        raise Refused(
            _("name %(begin)s: %(message)s", begin=repr(name[:50]), message=message),
            [FieldError("name", message, name[:50])],
        )
    return name


def _checked_verdict(verdict: str) -> str:
    """The verdict without surrounding spaces. Raises Refused for a long or unprintable one."""
    verdict = verdict.strip()
    if len(verdict) > 200 or not verdict.isprintable():
        message = _("a verdict is one line of at most 200 printable characters; the note takes more")
        raise Refused(
            _("verdict %(begin)s: %(message)s", begin=repr(verdict[:50]), message=message),
            [FieldError("verdict", message, verdict[:50])],
        )
    return verdict


def add_score(session: Session, score: Score) -> None:
    """One more score; it is the latest of its experiment, split and metric from now on."""
    if score.split == "online" and score.source != "import":  # a table of before tells no news
        experiment = queries.experiment(session, score.experiment_id)
        bests.tell(session, experiment, score.split, score.metric, score.value)
    for earlier in queries.latest_scores(session, score.experiment_id, score.split, score.metric):
        earlier.latest = False
    session.add(score)
    show(session, score)


def show(session: Session, score: Score) -> None:
    """What the table is ordered by, if this is the score that it shows."""
    experiment = queries.experiment(session, score.experiment_id)
    if score.latest is False or score.metric != contest_queries.contest_by_id(session, experiment.contest_id).metric:
        return
    setattr(experiment, f"shown_{score.split}", score.value)
    if score.split == "valid":
        experiment.shown_deviation = score.deviation


def record_run_scores(session: Session, experiment_id: int, run_id: int, scored: Scored) -> None:
    """A run's own scores: a later attempt's replace an earlier one's, so that they stand once."""
    split, experiment = scored.split, queries.experiment(session, experiment_id)
    session.refresh(experiment, with_for_update=True)  # one writer of its latest scores
    for metric, value in scored.scores.model_dump().items():
        bests.tell(session, experiment, split, metric, value)
    standing = {(score.split, score.metric): score for score in queries.scores_of_run(session, run_id)}
    now = clock(session)  # asked before a row is added: the question would flush a half-filled one
    for metric, value in scored.scores.model_dump().items():
        score = standing.get((split, metric))
        if score is None:
            score = Score(experiment_id=experiment_id, run_id=run_id, split=split, metric=metric, source="run")
            score.value, score.created_at = value, now
            add_score(session, score)
        score.value, score.created_at = value, now
        if metric == "roc_auc" and scored.interval:
            score.low, score.high = scored.interval
        if scored.members:
            score.members = [getattr(member, metric) for member in scored.members]
        show(session, score)
    session.flush()


def record_audit(session: Session, experiment: Experiment, verdict: str) -> None:
    """What leak audits of its runs found, the worst of them; a leaking one marks the row as a leaking recipe does."""
    marks = {mark: why for mark, why in experiment.marks.items() if why != LEAKS_AUDITED}
    if verdict == "leaking":
        marks.setdefault("leaking", LEAKS_AUDITED)
    experiment.audit, experiment.marks = verdict, marks
    session.flush()
