"""A team's own contest played through by curl, against a real web server and worker: sealed, sent in, malformed in
every way, over the day's limit, late, revealed; and a trained experiment gets its online score by itself."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.submissions.test_malformed import CASES, GOOD, SENTENCES
from tests.conftest import missing
from tests.factories import TINY, pair_text
from tests.processes import SetUp, set_up

LABELS = "0\n1\n1\n0\n"
SEALED = "/api/v1/contests/oppo/sealed"


class Curl:
    """Calls of one person."""

    def __init__(self, line: SetUp, folder: Path, token: str) -> None:
        self.line, self.folder, self.token = line, folder, token

    def __call__(self, method: str, path: str, *args: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        command = ["curl", "--silent", "--show-error", "--request", method, "--write-out", "\n%{http_code}"]
        command += ["--header", f"Authorization: Bearer {self.token}", *args, self.line.url + path]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body else None

    def json(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return self(method, path, "--header", "Content-Type: application/json", "--data", json.dumps(body))

    def send(self, content: bytes, name: str = "mine.tsv") -> tuple[int, Any]:
        path = self.folder / name
        path.write_bytes(content)
        return self("POST", f"{SEALED}/uploads", "--form", f"file=@{path}")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    if shutil.which("curl") is None:
        missing("no curl on the PATH")
    with set_up(tmp_path_factory.mktemp("sealed")) as made:
        made.start_web()
        yield made


@pytest.fixture(scope="module")
def owner(line: SetUp, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    """Who sealed the answers to four rows."""
    made = Curl(
        line,
        tmp_path_factory.mktemp("owner"),
        line.cli("token", "add", "owner", "--scope", "read,submit,run,admin").split()[-1],
    )
    assert made.json("POST", "/api/v1/contests", {"name": "Our own", "slug": "oppo"})[0] == 201
    texts = {"train": pair_text(200), "test": "".join(f"{a}\t{b}\n" for a, b in SENTENCES)}
    for kind, text in texts.items():
        (made.folder / f"{kind}.tsv").write_text(text)
        sent = made(
            "POST", "/api/v1/contests/oppo/files", "-F", f"file=@{made.folder}/{kind}.tsv", "-F", f"kind={kind}"
        )
        assert sent[0] == 201, sent
    (made.folder / "answers.txt").write_text(LABELS)
    sealed = made("POST", SEALED, "-F", f"answers=@{made.folder}/answers.txt", "-F", "uploads_a_day=2")
    assert sealed[0] == 201, sealed
    return made


def member(owner: Curl, name: str) -> Curl:
    return Curl(owner.line, owner.folder, owner.line.cli("token", "add", name).split()[-1])


def test_each_malformed_file_is_refused_with_its_own_message(owner: Curl) -> None:
    mal, said, shapes = member(owner, "mal"), {}, set()
    for kind, (form, content, expected) in CASES.items():
        put = owner.json("PUT", "/api/v1/contests/oppo/submission-format", form.model_dump(mode="json"))
        assert put[0] == 200
        status, body = mal.send(content, f"{kind}.bin")
        assert (status, body["error"]["detail"]) == (422, {"kind": kind}), body
        assert expected in body["error"]["message"]
        assert body["error"]["message"].startswith(f"{kind}.bin")
        said[kind] = body["error"]["message"]
        shapes.add(re.sub(r"'[^']*'|\d+|\w+\.bin", "", said[kind]))
    assert len(shapes) == len(CASES) >= 20
    owner.json("PUT", "/api/v1/contests/oppo/submission-format", {})
    status, history = mal("GET", f"{SEALED}/uploads?limit=1000")
    assert {line["fault"]: line["message"] for line in history["lines"]} == said
    assert mal("GET", SEALED)[1]["left_today"] == 2, "none of them is counted"


def test_good_again_over_quota_late_and_revealed(owner: Curl) -> None:
    ann = member(owner, "ann")
    status, good = ann.send(b"0.1\n0.9\n0.8\n0.2\n")
    assert (status, good["public_score"], good["private_score"]) == (201, 1.0, None)
    assert ann.send(b"0.1\n0.9\n0.8\n0.2\n", "again.tsv")[0] == 200
    assert ann.send(b"0.9\n0.1\n0.2\n0.8\n")[1]["public_score"] == 0.0
    status, over = ann.send(GOOD)
    assert (status, over["error"]["detail"]["kind"]) == (429, "over_quota")
    assert "ann has sent all 2 files of today: the next day begins at" in over["error"]["message"]
    assert owner("POST", f"{SEALED}/reveal")[0] == 409
    closes = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert owner.json("PATCH", SEALED, {"closes_at": closes})[0] == 200
    status, late = member(owner, "bob").send(GOOD)
    assert (status, late["error"]["detail"]["kind"]) == (409, "late")
    assert owner("POST", f"{SEALED}/reveal")[0] == 200
    status, board = ann("GET", f"{SEALED}/board")
    assert [(row["name"], row["public"], row["private"], row["count"]) for row in board] == [("ann", 1.0, 1.0, 2)]
    faults = [line["fault"] for line in ann("GET", f"{SEALED}/uploads")[1]["lines"]]
    assert faults == ["over_quota", "", ""]


def test_what_a_worker_predicts_is_scored_without_a_person(tmp_path: Path) -> None:
    with set_up(tmp_path) as line:
        line.start_web()
        line.start_worker()
        line.http.post("/api/v1/contests", json={"name": "Our own", "slug": "oppo"}).raise_for_status()
        for kind, rows in (("train", 300), ("test", 60)):
            file = {"file": (f"{kind}.tsv", pair_text(rows, seed=rows, label=kind == "train").encode())}
            line.http.post("/api/v1/contests/oppo/files", files=file, data={"kind": kind}).raise_for_status()
        answers = pair_text(60, seed=60)  # the same pairs, and their labels
        sealed = line.http.post(SEALED, files={"answers": ("answers.tsv", answers.encode())})
        assert sealed.status_code == 201, sealed.text
        body = {"name": "by itself", "config": {**TINY, "pretrain": None}}
        made = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()
        line.finished(made["id"])

        def online() -> list[dict[str, Any]]:
            return [score for score in line.experiment(made["id"])["scores"] if score["split"] == "online"]

        (score,) = line.until(online, "the online score")
        assert score["source"] == "sealed"
        file = line.http.get(f"/api/v1/experiments/{made['id']}/submission-file").content
        same = line.http.post(f"{SEALED}/uploads", files={"file": ("predictions.tsv", file)})
        assert same.json()["public_score"] == score["value"], "the file that is offered scores the same"
        assert "by itself" in line.http.get("/contests/oppo/sealed").text
        line.start_worker("second")
        assert len(online()) == 1
