"""The worker's calls to the app, typed. Three kinds of failure, since each asks for something else."""

import hashlib
from pathlib import Path
from typing import Any

import httpx2
from pydantic import BaseModel

from ml.contract.events import Event, EventAnswer, EventBatch
from ml.contract.hardware import WorkerMachine
from ml.contract.job import Job

CHUNK = 1 << 20


class Away(Exception):
    """The app did not answer, or answered that it failed: try again later."""


class Stale(Exception):
    """The attempt no longer holds its run: stop and drop its work."""


class Rejected(Exception):
    """The app will never take this: say so on the run."""


class Claim(BaseModel):
    """The answer to a claim."""

    job: Job
    token: str
    lease_seconds: float


class UploadState(BaseModel):
    """How much of a file the app has."""

    offset: int
    piece_bytes: int
    artifact: object = None
    problem: str = ""


class Client:
    """One connection pool to the app. Thread-safe."""

    def __init__(self, server: str, worker_token: str, worker: str, boot_id: str, queues: list[str]) -> None:
        self._http = httpx2.Client(base_url=f"{server.rstrip('/')}/api/v1", timeout=httpx2.Timeout(30, connect=5))
        self._worker_token = worker_token
        self._who = {"worker": worker, "boot_id": boot_id, "queues": queues}

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def report(self, busy_run_id: int | None, machine: WorkerMachine) -> None:
        """This worker lives, idle or busy."""
        told = {**self._who, "busy_run_id": busy_run_id, "machine": machine.model_dump(mode="json")}
        self._call("POST", "/workers/heartbeat", self._worker_token, json=told)

    def claim(self, machine: WorkerMachine) -> Claim | None:
        """Take the run that goes first; None when there is nothing for us."""
        told = {**self._who, "machine": machine.model_dump(mode="json")}
        answer = self._call("POST", "/workers/claim", self._worker_token, json=told)
        return None if answer.status_code == 204 else Claim.model_validate_json(answer.content)

    def heartbeat(self, run_id: int, token: str) -> EventAnswer:
        """The attempt lives even when ml is silent."""
        return EventAnswer.model_validate_json(self._call("POST", f"/runs/{run_id}/heartbeat", token).content)

    def send(
        self, run_id: int, token: str, first: int, events: tuple[Event, ...], waited_seconds: float = 0.0
    ) -> EventAnswer:
        """Deliver consecutive events, the first of which waited here for so long."""
        body = EventBatch(first=first, events=events, waited_seconds=waited_seconds).model_dump_json()
        headers = {"Content-Type": "application/json"}
        answer = self._call("POST", f"/runs/{run_id}/events", token, content=body, headers=headers)
        return EventAnswer.model_validate_json(answer.content)

    def upload(self, run_id: int, token: str, name: str, path: Path, sha256: str) -> None:
        """Send a file of the run, in pieces, from where an earlier try stopped. What the app knows is not sent.

        Raises Away when the connection is cut: called again it goes on. Raises Rejected when the bytes arrive twice
        with another hash than said, for then they are others.
        """
        problems = 0
        told = {"name": name, "sha256": sha256, "size": path.stat().st_size}
        while (state := self._upload_state("POST", f"/runs/{run_id}/uploads", token, json=told)).artifact is None:
            problems += bool(state.problem)
            if problems > 1:
                raise Rejected(state.problem)
            self._send_pieces(f"/runs/{run_id}/uploads/{sha256}", token, path, state)

    def _send_pieces(self, address: str, token: str, path: Path, state: "UploadState") -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            while state.offset < size:
                file.seek(state.offset)
                piece = file.read(state.piece_bytes)
                params = {"offset": state.offset, "size": size}
                state = self._upload_state("PATCH", address, token, content=piece, params=params)

    def _upload_state(self, method: str, address: str, token: str, **sent: Any) -> "UploadState":
        return UploadState.model_validate_json(self._call(method, address, token, **sent).content)

    def download(self, run_id: int, token: str, sha256: str, target: Path) -> None:
        """Fetch an input to `target`. Raises Away when what arrived is not what its hash says."""
        headers = {"Authorization": f"Bearer {token}"}
        digest = hashlib.sha256()
        try:
            with self._http.stream("GET", f"/runs/{run_id}/inputs/{sha256}", headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    _raise(answer)
                with target.open("wb") as file:
                    for chunk in answer.iter_bytes(CHUNK):
                        digest.update(chunk)
                        file.write(chunk)
        except httpx2.TransportError as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        if digest.hexdigest() != sha256:
            raise Away(f"input {sha256[:12]}… arrived with another hash")

    def _call(
        self,
        method: str,
        path: str,
        token: str,
        *,
        json: object = None,
        content: str | bytes | None = None,
        params: dict[str, int] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        try:
            answer = self._http.request(method, path, json=json, content=content, params=params, headers=sent)
        except httpx2.TransportError as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        if answer.is_error:
            _raise(answer)
        return answer


def _raise(answer: httpx2.Response) -> None:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text[:200]
    text = f"{answer.status_code} {message}"
    if answer.status_code >= 500 or answer.status_code in {408, 429}:
        raise Away(text)
    if answer.status_code in {401, 403, 409}:
        raise Stale(text)
    raise Rejected(text)
