"""`pairboard export` and `pairboard serve-model`: a finished finetune as an ONNX file, and a small server of it.

The model's code is ml's, in a process of its own (ml.export, ml.answer); here are its files, its door and its messages.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import compare_digest
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.errors import AppError
from app.experiments import queries as experiment_queries
from app.runs import queries
from app.runs.jobs import job_of
from app.runs.models import Run
from app.storage import Storage

MOST_PAIRS = 1000  # of a call
Text = Annotated[str, Field(max_length=10_000)]


def run_to_export(session: Session, experiment_id: int, run_id: int | None) -> Run:
    """The finished finetune that is meant. Raises AppError that names the choices."""
    experiment_queries.experiment(session, experiment_id)
    finetunes = [run for run in queries.runs_of(session, experiment_id) if run.kind == "finetune"]
    finished = [run for run in finetunes if run.status == "finished"]
    if run_id is not None:
        finished = [run for run in finished if run.id == run_id]
    if not finished:
        states = ", ".join(f"run {run.id} {run.status}" for run in finetunes) or "none"
        raise AppError(f"experiment {experiment_id} has no such finished finetune ({states}): wait, or choose another")
    if len(finished) > 1:
        choices = ", ".join(str(run.id) for run in finished)
        raise AppError(
            f"experiment {experiment_id} is made of {len(finished)} models, and a file holds one: give --run, one of "
            f"{choices}"
        )
    return finished[0]


def lay_out(session: Session, storage: Storage, run: Run, folder: Path) -> tuple[Path, Path]:
    """Put the run's files and its job with the inputs into `folder`, as links; returns (run folder, job.json)."""
    made = folder / "run"
    made.mkdir()
    for artifact in queries.artifacts_of(session, run):
        (made / artifact.name).symlink_to(storage.path(artifact.sha256))
    job = job_of(session, run)
    for item in job.inputs_of("train"):
        path = folder / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(storage.path(item.sha256))
    (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    return made, folder / "job.json"


def export(run_folder: Path, out: Path, job: Path | None, *, int8: bool) -> dict[str, Any]:
    """Have ml.export write `out`; returns what it found. Raises AppError with its message."""
    command = [sys.executable, "-P", "-m", "ml.export", str(run_folder), str(out.absolute())]
    command += ["--job", str(job)] if job else []
    command += ["--int8"] if int8 else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AppError(last_line(done.stderr) or f"the export ended with code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def last_line(text: str) -> str:
    """What a program said last."""
    return text.strip().splitlines()[-1] if text.strip() else ""


class Child:
    """ml.answer at work: one question at a time."""

    def __init__(self, folder: Path, threads: int) -> None:
        command = [sys.executable, "-P", "-m", "ml.answer", str(folder), "--threads", str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        self.facts = self._read()

    def ask(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Probabilities of label 1. Raises AppError when the process is gone."""
        with self._lock:
            assert self._process.stdin is not None  # noqa: S101 - it is a pipe
            try:
                self._process.stdin.write(json.dumps(pairs) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError as error:
                raise AppError("the model's process is gone: start the server again") from error
            found: list[float] = self._read()
            return found

    def _read(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            raise AppError(f"the model's process ended with code {self._process.wait()}: its message is above")
        return json.loads(line)

    def stop(self) -> None:
        """End it: its stdin ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pair(BaseModel):
    """Two short texts."""

    model_config = ConfigDict(extra="forbid")
    a: Text
    b: Text


class Question(BaseModel):
    """Pairs to judge."""

    model_config = ConfigDict(extra="forbid")
    pairs: list[Pair] = Field(min_length=1, max_length=MOST_PAIRS)


class Answer(BaseModel):
    """Probability that the label is 1, of each pair in order, and how long the model took."""

    probabilities: list[float]
    milliseconds: float


def create_model_app(folder: Path, threads: int, token: str, hosts: list[str]) -> FastAPI:
    """The server of one exported model; with `token`, callers must send it. Its docs are at /docs."""
    held: dict[str, Child] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        held["child"] = Child(folder, threads)
        yield
        held["child"].stop()

    def allowed(authorization: Annotated[str, Header()] = "") -> None:
        if token and not compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "send `Authorization: Bearer` with the token of PAIRBOARD_MODEL_TOKEN")

    app = FastAPIOffline(title="pairboard model", lifespan=lifespan)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)

    @app.get("/health")
    def health() -> dict[str, Any]:
        """What is served, as export.json says."""
        return {"status": "ok", **held["child"].facts}

    @app.post("/predict", dependencies=[Depends(allowed)])
    def predict(question: Question) -> Answer:
        """Judge pairs."""
        begin = time.perf_counter()
        try:
            found = held["child"].ask([(pair.a, pair.b) for pair in question.pairs])
        except AppError as error:
            raise HTTPException(503, error.message) from error
        return Answer(probabilities=found, milliseconds=1000 * (time.perf_counter() - begin))

    return app
