"""What tests of submissions begin with: experiments that finished, with a file to send."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from ml.contract.events import Finished
from tests.factories import TINY, contest_over_http, experiment_over_http, pair_text, upload_over_http

ROWS = 40
Finish = Callable[..., dict[str, Any]]


def predicted(seed: int, rows: int = ROWS) -> list[float]:
    """Probabilities that agree with those of other seeds, more or less."""
    truth, noise = np.random.default_rng(7).random(rows), np.random.default_rng(seed).random(rows)
    return [float(value) for value in (3 * truth + noise) / 4]


@pytest.fixture
def contest(client: TestClient) -> str:
    """One with a train file, and a test file of ROWS rows."""
    slug = contest_over_http(client)
    files = {"file": ("test.tsv", pair_text(ROWS, seed=9, label=False).encode())}
    answer = client.post(f"/api/v1/contests/{slug}/files", files=files, data={"kind": "test"})
    assert answer.status_code == 201, answer.text
    return slug


@pytest.fixture
def finish(client: TestClient, worker_headers: dict[str, str], contest: str) -> Finish:
    """An experiment whose run finished and left these test predictions."""

    def do(
        name: str, values: list[float] | None = None, *, seed: int = 1, content: bytes | None = None
    ) -> dict[str, Any]:
        found = experiment_over_http(client, contest, name=name, config={**TINY, "pretrain": None, "seed": seed})
        run = found["runs"][0]["id"]
        who = {"worker": "w1", "boot_id": "boot-one"}
        claim = client.post(f"/api/v1/runs/{run}/claim", json=who, headers=worker_headers)
        assert claim.status_code == 200, claim.text
        headers = {"Authorization": f"Bearer {claim.json()['token']}"}
        values = predicted(seed) if values is None else values
        if content is None:
            content = "".join(f"{value!r}\n" for value in values).encode()
        sha256 = upload_over_http(client, run, "test_predictions.tsv", content, headers)
        body = {"first": 1, "events": [Finished(seconds=1).model_dump(mode="json")]}
        assert client.post(f"/api/v1/runs/{run}/events", json=body, headers=headers).status_code == 200
        return {**found, "sha256": sha256, "content": content}

    return do
