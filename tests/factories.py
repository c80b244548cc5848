"""Rows and files for tests, made the way the product makes them."""

import hashlib
import io
import random
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import service as contests
from app.contests.models import Contest, ContestFile
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.runs import service as runs
from app.runs.models import Run
from app.runs.placement import Placement
from app.storage import Storage
from ml.contract.experiment import ExperimentConfig
from ml.contract.pair_file import FileKind

#: 1 layer, 32 wide: trains in a second or two
TINY: dict[str, Any] = {
    "data": {"max_length": 32, "valid_fraction": 0.2},
    "tokens": {"min_count": 1},
    "encoder": {
        "size": "explicit",
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    },
    "pretrain": {"num_train_epochs": 1, "batch_size": 32},
    "finetune": {"num_train_epochs": 2, "batch_size": 32, "learning_rate": 1e-3},
    "seed": 3,
}


def pair_text(rows: int = 300, seed: int = 1, *, label: bool = True) -> str:
    """Anonymised pairs: a pair is positive when its sides share their first token."""
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        a = [str(draw.randint(10, 60)) for _ in range(draw.randint(3, 7))]
        b = [str(draw.randint(10, 60)) for _ in range(draw.randint(3, 7))]
        same = draw.random() < 0.4
        if same:
            b[0] = a[0]
        elif b[0] == a[0]:
            b[0] = "9"
        lines.append("\t".join([" ".join(a), " ".join(b), *([str(int(same))] if label else [])]))
    return "\n".join(lines) + "\n"


def make_contest(session: Session, name: str = "Oppo", metric: str = "roc_auc") -> Contest:
    """A contest without files."""
    return contests.create_contest(session, name=name, metric=metric)


def make_file(
    session: Session, storage: Storage, contest: Contest, kind: FileKind = "train", rows: int = 60
) -> ContestFile:
    """A small file of pairs, uploaded."""
    source = io.BytesIO(pair_text(rows, label=kind == "train").encode())
    examined = contests.receive_file(storage, source, f"{kind}.tsv", kind, contests.Columns(), skip_bad_rows=False)
    return contests.add_file(session, contest, examined)[0]


def make_experiment(
    session: Session,
    contest: Contest,
    name: str = "first",
    config: ExperimentConfig | None = None,
    placement: Placement | None = None,
) -> tuple[Experiment, list[Run]]:
    """A queued experiment of TINY size; its contest needs a train file."""
    config = config or ExperimentConfig.model_validate(TINY)
    experiment = experiments.create(session, contest, name=name, config=config)
    return experiment, runs.enqueue(session, experiment, placement)


def storage_in(folder: Path) -> Storage:
    """A storage that takes 100 MiB a file."""
    return Storage(folder / "storage", 100 << 20)


def contest_over_http(client: TestClient, rows: int = 60, slug: str = "oppo") -> str:
    """A contest with a train and a test file, made through the REST API."""
    assert client.post("/api/v1/contests", json={"name": "Oppo", "slug": slug}).status_code == 201
    for kind in ("train", "test"):
        text = pair_text(rows, label=kind == "train")
        answer = client.post(
            f"/api/v1/contests/{slug}/files", files={"file": (f"{kind}.tsv", text.encode())}, data={"kind": kind}
        )
        assert answer.status_code == 201, answer.text
    return slug


def experiment_over_http(client: TestClient, slug: str = "oppo", **changes: Any) -> dict[str, Any]:
    """A queued experiment of TINY size, made through the REST API."""
    body = {"name": "first", "config": TINY, **changes}
    answer = client.post(f"/api/v1/contests/{slug}/experiments", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def upload_over_http(client: TestClient, run_id: int, name: str, content: bytes, headers: dict[str, str]) -> str:
    """A file of a run, sent by its attempt in one piece; its sha256."""
    sha256 = hashlib.sha256(content).hexdigest()
    told = {"name": name, "sha256": sha256, "size": len(content)}
    answer = client.post(f"/api/v1/runs/{run_id}/uploads", json=told, headers=headers)
    if answer.status_code == 200 and answer.json()["artifact"] is None:
        address = f"/api/v1/runs/{run_id}/uploads/{sha256}?offset=0&size={len(content)}"
        assert client.patch(address, content=content, headers=headers).status_code == 200
        answer = client.post(f"/api/v1/runs/{run_id}/uploads", json=told, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["artifact"]["sha256"] == sha256
    return sha256
