"""How a run is done again by hand, elsewhere: its job with every file by hash, and the commands that fetch and run it.

`python -m ml` of the same code on the same kind of device with as many threads gives the same scores to the bit.
"""

import shlex
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.errors import Conflict
from app.language import gettext as _
from app.runs import elsewhere, queries
from app.runs.jobs import job_of
from app.runs.models import Run
from ml.contract.events import Started
from ml.contract.fingerprint import code_version
from ml.contract.job import Job

#: as the worker has it on a card, or two runs differ
_CUDA = "CUBLAS_WORKSPACE_CONFIG=:4096:8 "


@dataclass(frozen=True)
class Recipe:
    """The commands, and with what the run was done. `started`: None before its first word. `same_code`: this server
    has the code that ran it. `weights`: a folder of the worker that has to be there, too."""

    run: Run
    commands: str
    started: Started | None
    same_code: bool
    weights: str


def job_again(session: Session, run: Run) -> Job:
    """What its last worker was given, with the device and the threads that it had, and without what only saved time.
    Raises Conflict for a run that waits for others."""
    if run.kind == elsewhere.KIND:
        raise Conflict(_("run %(id)s stands for a training elsewhere: there is no job to do again", id=run.id))
    if unmet := queries.unmet_needs(session, run.id):
        raise Conflict(
            _(
                "run %(id)s waits for run %(other)s, whose files are part of its job: ask again when that has finished",
                id=run.id,
                other=unmet[0].id,
            )
        )
    run_now = job_of(session, run, attempt=max(1, run.attempt))
    told = started(run)
    here = {"device": told.device, "threads": told.threads} if told else {}
    inputs = tuple(item for item in run_now.inputs if item.role != "checkpoint")
    return Job.model_validate({**run_now.model_dump(), "inputs": inputs, **here})


def started(run: Run) -> Started | None:
    """What the run's last worker said when it began."""
    body = (run.summary or {}).get("started")
    return Started.model_validate(body) if body else None


def recipe(session: Session, run: Run, base: str, *, signed_in: bool) -> Recipe:
    """`base`: the address of this server, as the reader sees it; `signed_in`: it wants a token from programs."""
    told, job = started(run), job_again(session, run)
    return Recipe(
        run=run,
        commands=commands(job, told, base, signed_in=signed_in),
        started=told,
        same_code=told is not None and told.code_version == code_version(),
        weights=job.config.encoder.weights if run.kind != "blend" else "",
    )


def recipes(session: Session, runs: list[Run], base: str, *, signed_in: bool) -> list[Recipe]:
    """Of those runs that were begun and have all that they need."""
    ready = [
        run for run in runs if run.attempt and run.kind != elsewhere.KIND and not queries.unmet_needs(session, run.id)
    ]
    return [recipe(session, run, base, signed_in=signed_in) for run in ready]


def commands(job: Job, told: Started | None, base: str, *, signed_in: bool) -> str:
    """Lines for a shell."""
    fetch = "curl -fsS " + ('-H "Authorization: Bearer $PAIRBOARD_TOKEN" ' if signed_in else "")
    address = f"{base}/api/v1/runs/{job.run_id}/job"
    lines = [f"mkdir -p run-{job.run_id} && cd run-{job.run_id}", f"{fetch}-o job.json {shlex.quote(address)}"]
    for item in job.inputs:
        place = shlex.quote(f"{address}/inputs/{item.sha256}")
        lines.append(f"{fetch}--create-dirs -o {shlex.quote(item.path)} {place}")
    if told is not None:
        version = "from ml.contract.fingerprint import code_version; print(code_version())"
        lines.append(
            f'test "$(python -c {shlex.quote(version)})" = {told.code_version} || '
            "echo 'this is another version of the code: numbers may differ' >&2"
        )
    cuda = _CUDA if told is not None and told.device == "cuda" else ""
    return "\n".join([*lines, f"{cuda}python -m ml job.json out/"]) + "\n"
