"""The trash: rows of the archive that may go for good, what that frees, taking them out again, and emptying it.

Emptying removes a row a transaction, and files only once that is committed, the way of `pairboard gc`: a crash in
between leaves files that no row names, which gc finds, and never a row whose file is gone. What an experiment scored
is kept (RemovedExperiment).
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import Database, clock
from app.errors import Conflict, FieldError, NotFound, Refused
from app.experiments import queries
from app.experiments.models import Experiment, RemovedExperiment, Score
from app.language import gettext as _
from app.language import ngettext
from app.leaderboard import trash_queries
from app.leaderboard.models import Trashed
from app.leaderboard.row_queries import rows_of
from app.leaderboard.trash_queries import Holdings
from app.runs import retention
from app.storage import Storage


@dataclass(frozen=True)
class Weighed:
    """An experiment that is or may be thrown away. `size`: bytes that it alone holds; `blocked`: why it can't go, empty
    when it can; `remarks`: what stays or changes; `online`: what the contest said of it."""

    experiment: Experiment
    size: int
    blocked: str
    remarks: list[str]
    online: list[Score]
    thrown: Trashed | None = None


@dataclass(frozen=True)
class Weighing:
    """Experiments, and the bytes that go with those of them that can go, together."""

    rows: list[Weighed]
    size: int

    @property
    def going(self) -> list[int]:
        """Ids of those that can go."""
        return [row.experiment.id for row in self.rows if not row.blocked]


@dataclass
class Emptied:
    """Ids of experiments that are gone, why others are left, the bytes that this freed, and how many files wait for
    an upload or a backup (`pairboard gc` removes them)."""

    done: list[int] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)
    size: int = 0
    waiting: int = 0


def weigh(session: Session, contest: Contest, ids: Sequence[int], *, emptying: bool = False) -> Weighing:
    """What throwing these away would free, besides what lies in the trash already; `emptying`: the trash itself."""
    experiments = queries.chosen(session, contest.id, ids)
    numbers = [experiment.id for experiment in experiments]
    thrown = {item.experiment_id: item for item in trash_queries.trashed(session, contest.id)}
    together = {*numbers, *thrown}
    held = trash_queries.holdings(session, together)
    active = _active(session, contest, numbers)
    children = trash_queries.children_of(session, numbers)
    views = trash_queries.views_against(session, contest.id, numbers)
    online = trash_queries.online_scores(session, numbers)
    names = trash_queries.names_of(session, {user for users in held.users.values() for user in users})
    rows = [
        Weighed(
            experiment,
            sum(held.frees({experiment.id}).values()),
            _blocked(experiment, thrown, active, held, together, emptying=emptying),
            _remarks(experiment.id, held, together, names, children, views),
            online.get(experiment.id, []),
            thrown.get(experiment.id),
        )
        for experiment in experiments
    ]
    going = {row.experiment.id for row in rows if not row.blocked}
    before = set() if emptying else set(held.frees(set(thrown)))
    freed = held.frees(going | (set() if emptying else set(thrown)))
    return Weighing(rows, sum(size for sha256, size in freed.items() if sha256 not in before))


def _active(session: Session, contest: Contest, ids: list[int]) -> set[int]:
    """Those that have not ended."""
    return {row.id for row in rows_of(session, contest, ids) if row.active}


def _blocked(
    experiment: Experiment,
    thrown: Collection[int],
    active: set[int],
    held: Holdings,
    together: set[int],
    *,
    emptying: bool = False,
) -> str:
    """Why the experiment can't go; empty: it can."""
    if not emptying and experiment.id in thrown:
        return _("it is in the trash already")
    if experiment.id in active:
        return _("it has not ended: cancel it first")
    if experiment.archived_at is None:
        return _("it is in the table: archive it first")
    return _needed(experiment.id, held, together)


def _needed(number: int, held: Holdings, together: set[int]) -> str:
    """A pretrain may be shared and then stays; predictions that another was made of have to stay with their row."""
    own = held.runs.get(number, set())
    alone = {run for run in own if held.users[run] == {number}}
    builders = {user for run in alone for user in held.needers.get(run, set())} - together
    if not builders:
        return ""
    listed = ", ".join(map(str, sorted(builders)))
    return ngettext(
        "experiment %(listed)s is made of its predictions: put that one into the trash, too",
        "experiments %(listed)s are made of its predictions: put those into the trash, too",
        len(builders),
        listed=listed,
    )


def _remarks(
    number: int,
    held: Holdings,
    together: set[int],
    names: dict[int, str],
    children: dict[int, list[int]],
    views: dict[int, list[str]],
) -> list[str]:
    found = []
    others = {user for run in held.runs.get(number, ()) for user in held.users[run]} - together
    if others:
        told = ", ".join(f"{other} {names.get(other, '')}".strip() for other in sorted(others)[:5])
        found.append(_("its pretrain stays: %(others)s still needs it", others=told))
    if clones := [child for child in children.get(number, []) if child not in together]:
        listed = ", ".join(map(str, clones[:5]))
        found.append(_("cloned from it, and without a parent then: %(clones)s", clones=listed))
    found += [_("the view %(view)s compares with it, and then with none", view=view) for view in views.get(number, [])]
    return found


def throw(session: Session, contest: Contest, ids: Sequence[int], who: str) -> Weighing:
    """Put what can go of these into the trash; the answer says what could not. Raises Refused for none, NotFound."""
    if not ids:
        raise Refused(_("no row is selected: tick some first"), [FieldError("ids", _("no row is selected"))])
    session.refresh(contest, with_for_update=True)  # two people who throw away the same row
    weighing = weigh(session, contest, ids)
    now = clock(session)
    for number in weighing.going:
        session.add(Trashed(experiment_id=number, contest_id=contest.id, thrown_by=who, thrown_at=now))
    session.flush()
    return weighing


def take_out(session: Session, contest: Contest, ids: Sequence[int]) -> list[int]:
    """Put them back into the archive; ids of those that lay in the trash."""
    taken = []
    for experiment in queries.chosen(session, contest.id, ids):
        found = trash_queries.locked(session, experiment.id)
        if found is not None:
            session.delete(found[1])
            taken.append(experiment.id)
    session.flush()
    return taken


def empty(
    database: Database,
    storage: Storage,
    slug: str,
    who: str,
    *,
    with_scores: Collection[int],
    only: Collection[int] | None = None,
) -> Emptied:
    """Remove what lies in a contest's trash for good, rows and files. An experiment with online scores stays unless
    `with_scores` names it: whoever confirms has seen them."""
    with database.reading() as session:
        contest = contest_queries.contest(session, slug)
        ids = [item.experiment_id for item in trash_queries.trashed(session, contest.id)]
    told, hashes = Emptied(), set[str]()
    for number in sorted(ids, reverse=True):  # a fusion goes before its members
        if only is not None and number not in only:
            continue
        try:
            with database.writing() as session:
                hashes |= _remove(session, number, who, with_scores)
            told.done.append(number)
        except NotFound:
            continue  # taken out, or removed, meanwhile
        except Conflict as error:
            told.left[number] = error.message
    for pause_s in (0.0, 0.1, 0.3, 1.0):  # an upload or another's emptying holds the folder for a moment
        if hashes:
            time.sleep(pause_s)
            freed = retention.remove_files(database, storage, hashes)
            told.size, hashes = told.size + freed.size, freed.waiting
    told.waiting = len(hashes)
    return told


def _remove(session: Session, number: int, who: str, with_scores: Collection[int]) -> set[str]:
    """Every row of the experiment but what it scored; the hashes of files that nobody names any more. Raises Conflict
    when it can't go, NotFound when it is not in the trash."""
    found = trash_queries.locked(session, number)
    if found is None:
        raise NotFound(_("experiment %(number)s is not in the trash", number=number))
    experiment, _thrown = found
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    trash_queries.lock_runs(session, number)
    held = trash_queries.holdings(session, {number})
    if why := _blocked(experiment, {number}, _active(session, contest, [number]), held, {number}, emptying=True):
        raise Conflict(why)
    scores = queries.scores_of(session, [number])
    online = [score for score in scores if score.split == "online"]
    if online and number not in with_scores:
        values = ", ".join(score.text or f"{score.value:.6g}" for score in online)
        raise Conflict(_("it has online scores (%(values)s): tick it to remove it all the same", values=values))
    session.add(_remains(experiment, scores, who, session))
    session.flush()
    going, files = held.going({number}), held.frees({number})
    trash_queries.forget_parent(session, number)
    trash_queries.keep_submissions(session, number)
    trash_queries.delete_rows(session, number, going)
    return set(files)


def _remains(experiment: Experiment, scores: Sequence[Score], who: str, session: Session) -> RemovedExperiment:
    return RemovedExperiment(
        id=experiment.id,
        contest_id=experiment.contest_id,
        name=experiment.name,
        note=experiment.note,
        verdict=experiment.verdict,
        config=experiment.config,
        scores=[
            {
                "id": score.id,
                "split": score.split,
                "metric": score.metric,
                "value": score.value,
                "text": score.text,
                "uncertain": score.uncertain,
                "note": score.note,
                "low": score.low,
                "high": score.high,
                "members": score.members,
                "source": score.source,
                "made_by": score.made_by,
                "created_at": score.created_at.isoformat(),
                "submission_id": score.submission_id,
                "board": score.board,
                "told_at": score.told_at.isoformat() if score.told_at else None,
                "corrects_id": score.corrects_id,
                "counts": score.counts,
            }
            for score in scores
        ],
        made_by=experiment.made_by,
        created_at=experiment.created_at,
        removed_by=who,
        removed_at=clock(session),
    )
