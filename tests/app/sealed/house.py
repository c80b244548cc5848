"""A contest with sealed answers, for the tests of it."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

ROWS = 60
URL = "/api/v1/contests/oppo/sealed"
#: an answer to each row of the test file; drawn, so that no other text is like it
LABELS = np.random.default_rng(20261127).integers(0, 2, ROWS)


def answers_text() -> bytes:
    return "".join(f"{label}\n" for label in LABELS.tolist()).encode()


def labelled_pairs(client: TestClient) -> bytes:
    rows = client.get("/api/v1/contests/oppo/files/2/pairs?limit=1000").json()["rows"]
    return "".join(
        f"{row['a']}\t{row['b']}\t{label}\n" for row, label in zip(rows, LABELS.tolist(), strict=True)
    ).encode()


def predictions(seed: int, noise: float = 0.5) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Better than chance, and never twice the same."""
    return np.clip(LABELS * (1 - noise) + noise * np.random.default_rng(seed).random(ROWS), 0, 1)


def file_of(values: Any) -> bytes:
    return "".join(f"{value!r}\n" for value in np.asarray(values).tolist()).encode()


def headers_of(client: TestClient, name: str, *scopes: str) -> dict[str, str]:
    """Of a token of that name."""
    from app.accounts import service as accounts

    with client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        token = accounts.issue_token(session, name, *(scopes or ("member",)))
    return {"Authorization": f"Bearer {token}"}


@dataclass
class House:
    """A contest whose answers `owner` sealed."""

    client: TestClient
    worker_headers: dict[str, str]
    owner: dict[str, str] = field(default_factory=dict)

    def make(self, **terms: Any) -> dict[str, Any]:
        contest_over_http(self.client, ROWS)
        self.owner = headers_of(self.client, "owner", "member", "admin")
        return self.seal(**terms)

    def seal(self, answers: bytes | None = None, **terms: Any) -> dict[str, Any]:
        told = {name: str(value) for name, value in {"uploads_a_day": 2, **terms}.items()}
        files = {"answers": ("answers.txt", io.BytesIO(answers or answers_text()))}
        answer = self.client.post(URL, files=files, data=told, headers=self.owner)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def send(self, content: bytes, who: dict[str, str], name: str = "mine.tsv", **data: Any) -> Any:
        return self.client.post(f"{URL}/uploads", files={"file": (name, content)}, data=data, headers=who)

    def change(self, **terms: Any) -> Any:
        return self.client.patch(URL, json=terms, headers=self.owner)

    def history(self, who: dict[str, str], **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"{URL}/uploads", headers=who, params=query).json()
        return found

    def finish(self, values: Any, seed: int = 1, content: bytes | None = None) -> int:
        """An experiment whose only run ends with these predictions; its id."""
        config = {**TINY, "pretrain": None, "seed": seed}
        made = experiment_over_http(self.client, name=f"experiment {seed}", config=config)
        run, who = made["runs"][0]["id"], {"worker": "w1", "boot_id": "boot-one"}
        claim = self.client.post(f"/api/v1/runs/{run}/claim", json=who, headers=self.worker_headers)
        headers = {"Authorization": f"Bearer {claim.json()['token']}"}
        upload_over_http(self.client, run, "test_predictions.tsv", content or file_of(values), headers)
        body = {"first": 1, "events": [{"type": "finished", "seconds": 1}]}
        assert self.client.post(f"/api/v1/runs/{run}/events", json=body, headers=headers).status_code == 200
        number: int = made["id"]
        return number

    def online(self, experiment: int) -> list[dict[str, Any]]:
        scores = self.client.get(f"/api/v1/experiments/{experiment}").json()["scores"]
        return [score for score in scores if score["split"] == "online"]
