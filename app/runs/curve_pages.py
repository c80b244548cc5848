"""HTML and CSV: the numbers of a chart, for those who can't see it or want every point; and what charts a page has."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.language import N_
from app.language import gettext as _
from app.runs import curve_service, queries
from app.runs.curve_api import RunId
from app.runs.curve_service import Curve
from app.runs.curves import SERIES
from app.runs.models import Run
from app.security import member
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SHOWN = 100
Runs = Annotated[list[RunId], Query(min_length=1, max_length=200)]
#: more lines than these no chart shows
MOST_RUNS = 60
#: charts of each kind of run, in order; "" is for every kind
OF_KIND = {
    "finetune": ("loss", "valid_roc_auc", "valid_log_loss", "learning_rate", "samples_per_second"),
    "pretrain": ("loss", "learning_rate", "tokens_per_second"),
    "": ("gpu_percent", "gpu_memory_bytes", "cpu_percent", "memory_used_bytes"),
}
TITLES = {"finetune": N_("Finetuning"), "pretrain": N_("Pretraining"), "": N_("Machine")}


@dataclass(frozen=True)
class Chart:
    """A figure that charts.js draws: one curve of several runs, each with its label."""

    series: str
    title: str
    unit: str
    runs: list[int]
    labels: list[str]


@dataclass(frozen=True)
class ChartGroup:
    """The charts of one kind of run; `folded` ones are drawn when the reader opens them. `left_out` runs of that kind
    are not drawn, since there are so many."""

    title: str
    charts: list[Chart]
    folded: bool
    left_out: int


@dataclass(frozen=True)
class CurvePage:
    """runs/curve.html. `curves`: (run, its curve or None)."""

    series: str
    title: str
    unit: str
    x: str
    axes: Sequence[str]
    run_ids: list[int]
    curves: list[tuple[Run, Curve | None]]
    experiments: dict[int, list[int]]


def chart_groups(runs: Sequence[Run], names: Mapping[int, Sequence[str]] | None = None) -> list[ChartGroup]:
    """What a page draws of these runs; those that ended before a worker took them have nothing to tell. `names`: of
    the experiments that a run works for, where there are several on the page."""
    found = []
    for kind, series in OF_KIND.items():
        told = [run for run in runs if kind in {run.kind, ""} and run.kind in OF_KIND]
        told = [run for run in told if run.attempt or run.ended_at is None]
        left_out, told = max(0, len(told) - MOST_RUNS), told[:MOST_RUNS]
        if told:
            labels = [label(run, names.get(run.id, ()) if names else (), kind=not kind) for run in told]
            charts = [Chart(name, *SERIES[name], runs=[run.id for run in told], labels=labels) for name in series]
            found.append(ChartGroup(TITLES[kind], charts, folded=not kind, left_out=left_out))
    return found


def label(run: Run, names: Sequence[str] = (), *, kind: bool = False) -> str:
    """`baseline, fold 2`, or `run 7`; a shared pretrain has the names of all."""
    parts = [" = ".join(name if len(name) < 30 else f"{name[:28]}…" for name in names)] if names else []
    parts += [_("fold %(number)s", number=run.fold + 1)] if run.fold is not None else []
    parts += [_("repeat %(number)s", number=run.repeat + 1)] if run.repeat else []
    parts += [_(run.kind)] if kind else []
    return ", ".join(parts) or _("run %(id)s", id=run.id)


@router.get("/curves")
def show_numbers(request: Request, run: Runs, session: SessionDep, series: str = "loss", x: str = "step") -> Response:
    """A chart as a table: about SHOWN points a run, the lowest and the highest of each stretch."""
    runs = [queries.run(session, number) for number in dict.fromkeys(run)]
    found = [(item, curve_service.curves(session, item, [series], x=x, most=SHOWN).get(series)) for item in runs]
    title, unit = SERIES[series]
    context = CurvePage(
        series=series,
        title=title,
        unit=unit,
        x=x,
        axes=curve_service.X_AXES,
        run_ids=[item.id for item in runs],
        curves=found,
        experiments={item.id: queries.experiment_ids_of(session, item.id) for item in runs},
    )
    return page(request, "runs/curve.html", context)


@router.get("/curves.csv")
def as_csv(run: Runs, session: SessionDep, series: str = "loss", x: str = "step") -> Response:
    """Every point of these curves."""
    runs = [queries.run(session, number) for number in dict.fromkeys(run)]
    found = {item.id: curve_service.curves(session, item, [series], x=x, every=True).get(series) for item in runs}
    headers = {"Content-Disposition": f'attachment; filename="{series}.csv"'}
    return StreamingResponse(_lines(found, series, x), media_type="text/csv; charset=utf-8", headers=headers)


def _lines(found: dict[int, Curve | None], series: str, x: str) -> Iterator[str]:
    yield f"run,{x},{series}\n"
    for number, curve in found.items():
        points = list(zip(curve.x, curve.y, strict=True)) if curve else []
        for start in range(0, len(points), 10_000):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(
                (number, *point) for point in points[start : start + 10_000]
            )
            yield text.getvalue()
