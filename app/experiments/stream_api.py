"""Server-sent events of an experiment that works: new points and lines, and how its runs stand.

A page that was away comes back with the cursor that it has (Last-Event-ID) and gets what it missed, never the whole
again. One look a second serves all open pages of an experiment (app/watching.py).
"""

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic_core import from_json, to_json
from starlette.concurrency import run_in_threadpool

from app import language
from app.db import Database
from app.experiments import queries
from app.experiments.status_pages import status_of
from app.runs import queries as run_queries
from app.runs import stream_service
from app.runs.models import Run
from app.runs.stream_service import Seen
from app.security import member
from app.watching import Told, Watches
from app.web import held_back, templates

router = APIRouter(prefix="/api/v1", tags=["experiments"], dependencies=[Depends(member)])
#: looks after which the status is written anew though no run moved: a silent worker, a place in the queue
ANEW = 10


class Watcher:
    """Looks at one experiment, for everyone whose page of it is open."""

    def __init__(self, database: Database, experiment_id: int) -> None:
        self._database, self._experiment_id = database, experiment_id
        self._seen: Seen | None = None
        self._stood: object = None
        self._shown: dict[str, str] = {}
        self._looks = 0

    def __call__(self, languages: frozenset[str]) -> tuple[list[Told], bool]:
        """What is new since the last look, and whether more may come."""
        with self._database.reading() as session:
            runs = run_queries.runs_of(session, self._experiment_id)
            if self._seen is None:  # readers catch up by themselves
                self._seen = stream_service.now(session, runs)
            news = stream_service.news(session, runs, self._seen)
            self._seen = news.seen
            found = [_told(news)] if news.curves or news.logs else []
            active = any(run.status in {"queued", "running"} for run in runs)
            found += self._status(session, runs, languages, active=active)
        if not active:
            found.append(Told("done", "{}", stream_service.cursor_text(self._seen)))
        return found, active

    def _status(self, session: Any, runs: Any, languages: frozenset[str], *, active: bool) -> list[Told]:
        stands = [_stand(run) for run in runs] + [sorted(self._seen or {}), tuple((self._seen or {}).values())]
        self._looks += 1
        if stands == self._stood and languages <= set(self._shown) and self._looks % ANEW and active:
            return []
        self._stood = stands
        view = status_of(session, queries.experiment(session, self._experiment_id))
        values = {item.name: getattr(view, item.name) for item in fields(view)}
        cursor, found = stream_service.cursor_text(self._seen or {}), []
        for name in (name for name in language.LANGUAGES if name in languages):
            language.choose(name)  # in a thread's own context
            html = templates().env.get_template("experiments/_status.html").render(**values)
            if html != self._shown.get(name):
                self._shown[name] = html
                found.append(Told("status", to_json(html).decode(), cursor, to=name))
        return found


def _stand(run: Run) -> tuple[object, ...]:
    return run.id, run.status, run.attempt, run.cancel_requested, run.reason


def _told(news: stream_service.News) -> Told:
    body = {"curves": news.curves, "logs": news.logs}
    return Told("news", to_json(body, inf_nan_mode="null").decode(), stream_service.cursor_text(news.seen))


def asked(
    request: Request,
    experiment_id: int,
    after: Annotated[str, Query(description="the cursor that the page was written with")] = "",
    last_event_id: Annotated[str, Header(description="sent by browsers that come back")] = "",
) -> Seen:
    """Up to where the reader has seen it. Raises NotFound and Refused before the stream begins."""
    database: Database = request.app.state.database
    with database.reading() as session:
        queries.experiment(session, experiment_id)
    return stream_service.cursor_seen(last_event_id or after)


def _as_seen(request: Request, data: str) -> str:
    """How the runs stand, with the buttons of this reader."""
    return to_json(held_back(request, from_json(data))).decode()


@router.get("/experiments/{experiment_id}/stream", response_class=EventSourceResponse)
async def stream(
    request: Request, experiment_id: int, seen: Annotated[Seen, Depends(asked)]
) -> AsyncIterator[ServerSentEvent]:
    """`news`: points of curves over steps and lines of logs, since the cursor; `status`: how the runs stand, as HTML;
    `done`: nothing more will come. The id of each is the cursor to go on from.

    async, and no session of the request: an open page holds neither a thread nor a connection.
    """
    database: Database = request.app.state.database
    watches: Watches = request.app.state.watches

    def missed() -> Told | None:
        with database.reading() as session:
            news = stream_service.news(session, run_queries.runs_of(session, experiment_id), seen)
        return _told(news) if news.curves or news.logs else None

    spoken = language.current()
    async with watches.follow(experiment_id, lambda: Watcher(database, experiment_id), spoken) as queue:
        told = await run_in_threadpool(missed)
        while True:
            if told is not None:
                if told.kind == "status":
                    told = replace(told, data=await run_in_threadpool(_as_seen, request, told.data))
                yield ServerSentEvent(raw_data=told.data, event=told.kind, id=told.cursor)
            told = await queue.get()
            if told is None:  # it ended, or this reader was too slow: its browser comes back
                break
