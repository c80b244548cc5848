"""What the table says of noise: tiers of a contest's best rows, and what choosing among them has cost.

Counted after an answer has left and kept as a fact of the contest; called by the leaderboard's page and REST, and when
a worker has brought a score. What is shown may be a few seconds old, never of another contest.
"""

import logging
import time
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, DataFact
from app.db import Database, clock
from app.errors import AppError
from app.experiments.models import Experiment
from app.runs.predictions import predictions
from app.significance import queries
from app.significance.noise import Noise, noise
from app.storage import Storage
from ml.contract.fingerprint import digest
from ml.contract.scores import METRICS

log = logging.getLogger(__name__)

#: so many rows of a contest are judged, those with the best valid scores; the table says how many there are
JUDGED = 200
#: and of one split so many predictions, about 200 MB while they are counted: 50 rows that held out 100,000 pairs each
CELLS = 5_000_000
#: who counts longer than this has died
GIVEN_UP_AFTER = timedelta(minutes=2)
#: a change of what is counted makes another key
_VERSION = 1


class Split(BaseModel):
    """Rows judged on the same pairs. `together`: how many can't be told from the best; `chosen_among`, `optimism` and
    the rest as in noise.SplitNoise."""

    train_file: str
    pairs: int
    components: int
    rows: int
    together: int
    tiers: int
    best: int
    chosen_among: int
    optimism: float


class Place(BaseModel):
    """Where a row stands: in which split of Standing.splits, in which tier (1 is the best), how far behind the best row
    of the split, and the corrected p-value that this is noise (None: it is the best)."""

    split: int
    tier: int
    behind: float
    p: float | None


class Standing(BaseModel):
    """By split, the one with most rows first. `candidates`: rows with a valid score; `judged`: how many of them are
    judged here. The others have no predictions, or better ones were enough (JUDGED, CELLS)."""

    stamp: str
    candidates: int
    judged: int
    splits: list[Split]
    rows: dict[int, Place]


def key_of(contest_id: int) -> str:
    """Under which the fact is kept."""
    return digest({"what": "standing", "version": _VERSION, "contest": contest_id})


def standing(session: Session, contest_id: int) -> Standing | None:
    """As it was counted last; None before the first time."""
    fact = contest_queries.data_facts(session, [key_of(contest_id)]).get(key_of(contest_id))
    return None if fact is None or fact.body is None else _read(fact.key, fact.begun_at, fact.body)


#: parsed bodies by key and when they were counted: a page asks for the same again and again
_PARSED: OrderedDict[tuple[str, datetime], Standing] = OrderedDict()


def _read(key: str, counted_at: datetime, body: dict[str, Any]) -> Standing:
    found = _PARSED.get((key, counted_at))
    if found is None or found.stamp != body["stamp"]:  # while it is counted again, the body is still the last one
        found = _PARSED[key, counted_at] = Standing.model_validate(body)
        while len(_PARSED) > 20:
            _PARSED.popitem(last=False)
    return found


def judge(database: Database, storage: Storage, contest_id: int) -> bool:
    """Count it again if scores came or rows went since; returns whether it did. In transactions of its own."""
    with database.reading() as session:
        contest = contest_queries.contest_by_id(session, contest_id)
        stamp = queries.stamp(session, contest)
        known = standing(session, contest_id)
        if known is not None and known.stamp == stamp:
            return False
    if not _claim(database, contest_id):
        return False
    begin = time.perf_counter()
    try:
        with database.reading() as session:
            found = _counted(session, storage, contest_queries.contest_by_id(session, contest_id))
    except Exception:
        _keep(database, contest_id, None)
        raise
    _keep(database, contest_id, found)
    seconds = time.perf_counter() - begin
    log.info("judged %s rows of contest %s in %.2f s", found.judged, contest.slug, seconds)
    return True


def _counted(session: Session, storage: Storage, contest: Contest) -> Standing:
    stamp = queries.stamp(session, contest)
    candidates, best = queries.best_valid(session, contest, JUDGED, METRICS[contest.metric].higher_is_better)
    readable = _affordable(session, storage, best)
    splits, rows = _shown(session, noise(session, storage, readable), readable)
    return Standing(stamp=stamp, candidates=candidates, judged=len(rows), splits=splits, rows=rows)


def _affordable(session: Session, storage: Storage, best: list[Experiment]) -> list[Experiment]:
    """Those with predictions, of each split the best while CELLS allow it."""
    kept, cells = [], dict[tuple[int | None, int], int]()
    for experiment in best:
        try:
            pairs = len(predictions(session, storage, experiment).rows_N)
        except AppError:  # trained elsewhere, or its file is gone: the compare page says which
            continue
        key = experiment.train_file_id, pairs
        cells[key] = cells.get(key, 0) + pairs
        if cells[key] <= CELLS:
            kept.append(experiment)
    return kept


def _shown(session: Session, found: Noise, best: list[Experiment]) -> tuple[list[Split], dict[int, Place]]:
    splits, rows = [], dict[int, Place]()
    file_of = {item.id: item.train_file_id for item in best}
    for number, split in enumerate(found.splits):
        leader = split.rows[0]
        file = contest_queries.file_by_id(session, file_of[leader.id] or 0)
        splits.append(
            Split(
                train_file=file.name,
                pairs=split.pairs,
                components=split.components,
                rows=len(split.rows),
                together=split.together,
                tiers=max(row.tier for row in split.rows),
                best=leader.id,
                chosen_among=split.chosen_among,
                optimism=split.optimism,
            )
        )
        rows |= {row.id: Place(split=number, tier=row.tier, behind=row.behind, p=row.p) for row in split.rows}
    return splits, rows


def _claim(database: Database, contest_id: int) -> bool:
    """Whether nobody else counts it now."""
    key = key_of(contest_id)
    try:
        with database.writing() as session:
            fact, now = contest_queries.data_facts(session, [key]).get(key), clock(session)
            if fact is None:
                session.add(DataFact(key=key, what="standing", body=None, seconds=0, begun_at=now))
            elif _at_work(fact, now):
                return False
            else:
                fact.begun_at, fact.seconds = now, 0
    except IntegrityError:  # another process was faster
        return False
    return True


def _at_work(fact: DataFact, now: datetime) -> bool:
    """`seconds` is 0 while somebody counts."""
    return fact.seconds == 0 and now - fact.begun_at < GIVEN_UP_AFTER


def _keep(database: Database, contest_id: int, found: Standing | None) -> None:
    """Put down what was found; after a failure, that nobody counts it any more."""
    with database.writing() as session:
        fact = contest_queries.data_facts(session, [key_of(contest_id)])[key_of(contest_id)]
        fact.seconds = max((clock(session) - fact.begun_at).total_seconds(), 1e-6)
        if found is not None:
            fact.body = found.model_dump(mode="json")
