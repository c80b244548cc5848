"""REST: the job of a run, whole, for whoever does it again by hand: `python -m ml job.json out/`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import FileResponse, PlainTextResponse

from app.errors import NotFound
from app.runs import queries, reproduce
from app.runs.api import FILE, stored_file
from app.security import member
from app.web import SessionDep, SettingsDep, StorageDep, site_url
from ml.contract.job import Job

router = APIRouter(
    prefix="/api/v1/runs/{run_id}",
    tags=["runs"],
    dependencies=[Depends(member)],
    responses={409: {"description": "the run waits for another"}},
)


@router.get("/job")
def read_job(run_id: int, session: SessionDep) -> Job:
    """As the run's last worker was given it, with the device and the threads that it had: config, seed, and every file
    by its hash and the place where it has to lie. 409 while the run waits for another."""
    return reproduce.job_again(session, queries.run(session, run_id))


@router.get("/job/inputs/{sha256}", response_class=FileResponse, responses=FILE)
def read_job_input(
    run_id: int, sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], session: SessionDep, storage: StorageDep
) -> FileResponse:
    """A file that the job names."""
    for item in reproduce.job_again(session, queries.run(session, run_id)).inputs:
        if item.sha256 == sha256:
            return stored_file(storage, sha256, item.name)
    raise NotFound(f"run {run_id} has no input {sha256[:12]}…")


@router.get("/job.sh", response_class=PlainTextResponse)
def read_commands(run_id: int, request: Request, session: SessionDep, settings: SettingsDep) -> str:
    """The commands that fetch the job with its files and do it again."""
    run, base = queries.run(session, run_id), site_url(request)
    return reproduce.recipe(session, run, base, signed_in=not settings.on_loopback).commands
