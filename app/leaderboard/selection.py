"""What people do to many rows at once. Each row is done or left with a reason; none hinders the others. Pages and REST
call it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import Field
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import AppError, Conflict, FieldError, Refused
from app.experiments import queries, service
from app.experiments.models import Experiment
from app.language import N_
from app.language import gettext as _
from app.leaderboard import trash_queries
from app.leaderboard.row_queries import rows_of
from app.runs import service as runs

Action = Literal["tag", "untag", "archive", "restore", "cancel", "retry"]
ACTIONS = get_args(Action)
#: an id of a row; what a database holds no number for is none
RowId = Annotated[int, Field(ge=1, lt=1 << 63)]
#: what the page says of rows that are done
DONE = {
    "tag": N_("%(count)s tagged %(tag)s."),
    "untag": N_("%(count)s no longer tagged %(tag)s."),
    "archive": N_("%(count)s archived."),
    "restore": N_("%(count)s restored."),
    "cancel": N_("%(count)s cancelled."),
    "retry": N_("%(count)s queued again."),
}


@dataclass
class Outcome:
    """Ids that are done, and of the others why they were left as they are."""

    done: list[int] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)


def apply(session: Session, contest: Contest, ids: list[int], action: str, tag: str = "") -> Outcome:
    """Do it to each of these rows. Raises Refused for an unknown action, no rows or what is no tag, NotFound for a row
    that the contest doesn't have: then nothing is done."""
    if action not in ACTIONS:
        message = _("action %(action)s is none of %(actions)s", action=repr(action[:30]), actions=", ".join(ACTIONS))
        raise Refused(message, [FieldError("action", message, action[:30])])
    if not ids:
        raise Refused(_("no row is selected: tick some first"), [FieldError("ids", _("no row is selected"))])
    chosen = queries.chosen(session, contest.id, ids)
    if action in {"tag", "untag"}:
        tag = service.checked_tag(tag)
    rows = rows_of(session, contest, [experiment.id for experiment in chosen])
    act, outcome = _act(session, {row.id for row in rows if row.active}, action, tag), Outcome()
    for experiment in chosen:
        try:
            act(experiment)
            outcome.done.append(experiment.id)
        except AppError as error:
            outcome.left[experiment.id] = error.message
    return outcome


def _act(session: Session, active: set[int], action: str, tag: str) -> Callable[[Experiment], None]:
    """The action on one row. It changes nothing or all of it, and raises Conflict where there is nothing to do.
    `active`: ids of those that have not ended."""

    def put(experiment: Experiment) -> None:
        if not service.put_tag(session, experiment, tag):
            raise Conflict(_("it is tagged %(tag)s already", tag=tag))

    def take(experiment: Experiment) -> None:
        if not service.take_tag(session, experiment, tag):
            raise Conflict(_("it is not tagged %(tag)s", tag=tag))

    def archive(experiment: Experiment) -> None:
        if experiment.id in active:
            raise Conflict(_("it has not ended: cancel it first"))
        if not service.archive(session, experiment):
            raise Conflict(_("it is archived already"))

    def restore(experiment: Experiment) -> None:
        if trash_queries.in_trash(session, [experiment.id]):
            raise Conflict(_("it is in the trash: take it out first"))
        if not service.restore(session, experiment):
            raise Conflict(_("it is not in the archive"))

    def cancel(experiment: Experiment) -> None:
        if experiment.id not in active:
            raise Conflict(_("it has ended: there is nothing to cancel"))
        runs.cancel_experiment(session, experiment)

    def retry(experiment: Experiment) -> None:
        if trash_queries.in_trash(session, [experiment.id]):
            raise Conflict(_("it is in the trash: take it out first"))
        with session.begin_nested():  # of several runs the first may be queued before the second can't be
            runs.retry_experiment(session, experiment)

    return {"tag": put, "untag": take, "archive": archive, "restore": restore, "cancel": cancel, "retry": retry}[action]
