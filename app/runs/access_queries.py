"""Of which contests the row is that a route's path names. Called by app.security, and by runs.queries."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts import access
from app.contests.models import Contest
from app.errors import Forbidden, NotFound
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.models import ExperimentRun


def contests_of_run(session: Session, run_id: int) -> set[int]:
    """The contests of the experiments that a run works for."""
    query = select(Experiment.contest_id).join(ExperimentRun, ExperimentRun.experiment_id == Experiment.id)
    return set(session.scalars(query.where(ExperimentRun.run_id == run_id)))


def lets_run(session: Session, run_id: int) -> bool:
    """Whether the run is there for who asks: in one of its contests. Raises
    Forbidden as access.lets does."""
    return not access.differs() or access.lets_one_of(contests_of_run(session, run_id))


def require(session: Session, named: Mapping[str, Any], *, unsafe: bool) -> None:
    """Raise NotFound, as for a row that is not there at all, or Forbidden, unless what the path names is reached."""
    if "slug" in named:
        found = session.scalar(select(Contest.id).where(Contest.slug == named["slug"]))
        if found is not None and not access.lets(found):
            raise NotFound(_("there is no contest %(slug)s", slug=repr(named["slug"])))
    if (number := number_of(named.get("experiment_id"))) is not None:
        found = session.scalar(select(Experiment.contest_id).where(Experiment.id == number))
        if found is not None and not access.lets(found):
            raise NotFound(_("there is no experiment %(id)s", id=number))
    if (number := number_of(named.get("run_id"))) is not None:
        _require_run(session, number, unsafe=unsafe)


def _require_run(session: Session, run_id: int, *, unsafe: bool) -> None:
    of = contests_of_run(session, run_id)
    if not access.lets_one_of(of):
        raise NotFound(_("there is no run %(run)s", run=run_id))
    if unsafe and not all(access.sees(contest_id) for contest_id in of):
        raise Forbidden(_("run %(run)s works for another contest, too, that you do not reach", run=run_id))


def number_of(text: Any) -> int | None:
    """The number in a part of a path, as it was sent; a route says itself what is wrong with another."""
    word = str(text)
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 else None
