"""What an experiment's page says of its runs: the graph, what can be sent, who sent what, and how to do it again."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from ml.contract.events import Artifact, Event, Finished, Started
from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

STARTED = Started(
    device="cuda",
    device_name="H200",
    threads=3,
    code_version="0" * 16,
    python="3.11.9",
    torch="2.13",
    transformers="5.17",
)


class House:
    """An experiment of two folds, and a worker's voice for its runs."""

    def __init__(self, client: TestClient, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers
        contest_over_http(client)
        folded = {**TINY, "data": {**TINY["data"], "folds": 2}}
        self.experiment = experiment_over_http(client, name="folded", config=folded)
        self.runs: list[int] = [run["id"] for run in self.experiment["runs"]]

    def claim(self, run: int) -> dict[str, str]:
        """The attempt's headers."""
        who = {"worker": "w1", "boot_id": "boot-one"}
        claim = self.client.post(f"/api/v1/runs/{run}/claim", json=who, headers=self.headers)
        return {"Authorization": f"Bearer {claim.json()['token']}"}

    def finish(self, run: int, **files: bytes) -> None:
        """It begins, sends files, and ends well."""
        mine, events = self.claim(run), list[Event]([STARTED])
        for name, content in files.items():
            name = f"{name}.tsv"
            sha256 = upload_over_http(self.client, run, name, content, mine)
            events.append(Artifact(name=name, path=name, sha256=sha256, size=len(content)))
        body = {"first": 1, "events": [event.model_dump(mode="json") for event in (*events, Finished(seconds=1))]}
        assert self.client.post(f"/api/v1/runs/{run}/events", json=body, headers=mine).status_code == 200

    def page(self, **more: Any) -> str:
        """Of the experiment."""
        return self.client.get("/experiments/1", **more).text


@pytest.fixture
def house(client: TestClient, worker_headers: dict[str, str]) -> House:
    return House(client, worker_headers)


def graph(page: str) -> list[list[str]]:
    """By stage: what each node says."""
    part = page.split('<ol class="graph"')[1].split("</ol>")[0]
    stages = part.split('<span class="stage">')[1:]
    nodes = [re.findall(r'<a class="node \w+".*?</a>', stage, re.DOTALL) for stage in stages]
    return [[" ".join(re.sub("<[^>]+>", " ", node).split()) for node in stage] for stage in nodes]


def test_the_graph_of_runs(house: House) -> None:
    pretrain, *folds, blend = house.runs
    house.finish(pretrain)
    experiment_over_http(house.client, name="other", config=TINY | {"data": {**TINY["data"], "folds": 2}, "seed": 3})
    page = house.page()
    assert graph(page) == [
        [f"pretrain run {pretrain} finished"],
        [f"finetune fold {n + 1} run {fold} queued" for n, fold in enumerate(folds)],
        [f"blend run {blend} queued"],
    ]
    assert "shared with experiment 2" in page
    for run in house.runs:
        assert page.count(f'id="run-{run}"') == 1, "where the graph's links lead"
    chinese = house.page(headers={"Accept-Language": "zh"})
    assert graph(chinese)[1][0] == f"微调 第 1 折 运行 {folds[0]} 排队中"


def test_a_fusion_names_the_runs_of_others(house: House) -> None:
    for run in house.runs:
        house.finish(run, valid_predictions=b"1\t1\t0.5\n", test_predictions=b"0.5\n")
    second = experiment_over_http(
        house.client, name="2", config={**TINY, "data": {**TINY["data"], "folds": 2}, "seed": 9}
    )
    fused = experiment_over_http(
        house.client, name="fused", config={"fusion": {"members": [1, second["id"]]}, "data": {"folds": 2}}
    )
    page = house.client.get(f"/experiments/{fused['id']}").text
    last = second["runs"][-1]["id"]
    assert graph(page)[0] == [f"blend run {house.runs[-1]} finished", f"blend run {last} queued"]
    assert f'href="/experiments/{second["id"]}#run-{last}"' in page


def test_what_can_be_sent_and_who_sent_what(house: House) -> None:
    assert "is offered here once its last run has finished" in house.page()
    for run in house.runs:
        house.finish(run, test_predictions=b"0.%d\n" % run)
    page = house.page()
    assert page.count("Download the file for the contest") == 1
    assert '<a class="button" href="/api/v1/experiments/1/submission-file" download>' in page
    last = f"/api/v1/runs/{house.runs[-1]}/artifacts/test_predictions.tsv"
    assert page.count(last) == 1, "among the files of its run"
    assert house.client.get(last).content == b"0.%d\n" % house.runs[-1]
    assert "No online score yet" in page
    for value, note in (("0.81", "board A"), ("0.82", "<b>")):
        sent = house.client.post("/experiments/1/online-scores", data={"value": value, "note": note})
        assert sent.status_code == 303
    rows = house.page().split('aria-label="Online scores"')[1].split("<tbody>")[1].split("</tbody>")[0]
    rows = re.sub("<details>.*?</details>", "", rows, flags=re.DOTALL)
    cells = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in rows.split("</tr>")]
    assert cells[0] == "2 0.82 shown – &lt;b&gt; 2 local form just now"
    assert cells[1] == "1 0.81 – board A 1 local form just now"
    posted = [
        score for score in house.client.get("/api/v1/experiments/1").json()["scores"] if score["split"] == "online"
    ]
    assert [score["made_by"] for score in posted] == ["local", "local"]


def test_how_to_do_it_again(house: House) -> None:
    pretrain, fold = house.runs[:2]
    assert 'id="reproduce"' not in house.page(), "nothing has begun"
    job = house.client.get(f"/api/v1/runs/{pretrain}/job").json()
    assert (job["run_id"], job["attempt"], job["device"], job["threads"]) == (pretrain, 1, "auto", None)
    for end in ("job", "job.sh", f"job/inputs/{'ab' * 32}"):
        waits = house.client.get(f"/api/v1/runs/{fold}/{end}")
        assert waits.status_code == 409
        assert f"waits for run {pretrain}" in waits.json()["error"]["message"]
    house.finish(pretrain)
    job = house.client.get(f"/api/v1/runs/{pretrain}/job").json()
    assert (job["device"], job["threads"]) == ("cuda", 3)
    for item in job["inputs"]:
        answer = house.client.get(f"/api/v1/runs/{pretrain}/job/inputs/{item['sha256']}")
        assert (answer.status_code, answer.headers["x-content-sha256"]) == (200, item["sha256"])
    assert house.client.get(f"/api/v1/runs/{pretrain}/job/inputs/{'ab' * 32}").status_code == 404
    worker = house.client.get(f"/api/v1/runs/{pretrain}/job", headers=house.headers)
    assert worker.status_code == 403
    page = house.page()
    assert "torch 2.13 and transformers 5.17 on cuda (H200) · 3 threads" in page
    assert "another version of the code" in page
    assert "CUBLAS_WORKSPACE_CONFIG=:4096:8 python -m ml job.json out/" in page
