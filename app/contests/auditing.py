"""A leak audit on demand: which files, divided how. Called by its page and its REST."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from app.contests import queries
from app.contests.facts import Want
from app.contests.models import Contest, ContestFile
from app.errors import FieldError, Refused
from app.language import gettext as _
from ml.contract.experiment import ExperimentConfig
from ml.contract.leaks import AuditSettings

#: rows of all files together that are audited while a reader waits: about three seconds
SMALL_ROWS = 50_000


def want(
    session: Session, contest: Contest, files: Mapping[str, int | None], config: ExperimentConfig, fold: int
) -> Want:
    """`files`: ids by role (train, valid, test); the newest train file unless one is named. Raises Refused."""
    train = _file(session, contest, "train", files.get("train")) or next(
        iter(queries.files(session, contest.id, "train")), None
    )
    if train is None:
        message = _("contest %(slug)s has no train file yet: upload one first", slug=repr(contest.slug))
        raise Refused(message, [FieldError("train", message)])
    valid = _file(session, contest, "valid", files.get("valid"))
    if valid is not None and valid.id == train.id:
        message = _("valid: choose another file than the train file, or let the train file be divided")
        raise Refused(message, [FieldError("valid", message, str(valid.id))])
    test = _file(session, contest, "test", files.get("test"))
    settings = AuditSettings() if valid else _settings(config, fold)
    found = tuple(file for file in (train, valid, test) if file is not None)
    return Want("audit", found, settings.model_dump_json())


def _settings(config: ExperimentConfig, fold: int) -> AuditSettings:
    data = config.data
    if data.full_data:
        message = _("data.full_data holds nothing out: there is no split to audit")
        raise Refused(message, [FieldError("config.data.full_data", message, "true")])
    if fold and fold >= data.folds:
        message = _("fold %(fold)s: there are %(folds)s folds, counted from 0", fold=fold, folds=data.folds)
        raise Refused(message, [FieldError("fold", message, str(fold))])
    # what decides no row stays as it is by itself, so that the same split is audited once
    data = data.model_copy(update={"repeats": 1, "max_length": 64})
    return AuditSettings(data=data, augment=config.augment, seed=config.seed, fold=fold)


def _file(session: Session, contest: Contest, role: str, file_id: int | None) -> ContestFile | None:
    if file_id is None:
        return None
    file = queries.file(session, contest.id, file_id)
    kind = "test" if role == "test" else "train"
    if file.kind != kind:
        told = {"name": file.name, "kind": _(file.kind), "wanted": _(kind)}
        message = _("%(name)s is a %(kind)s file: choose a %(wanted)s file", **told)
        raise Refused(message, [FieldError(role, message, str(file_id))])
    return file
