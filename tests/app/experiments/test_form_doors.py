"""The form's pages: folded groups that say what differs, a clone's marks, fields that do not count, and JSON."""

import json
import re
from html import unescape
from typing import Any

from starlette.testclient import TestClient

from app import forms
from app.experiments import config_json
from app.form_reasons import clauses
from ml.contract.applies import rules
from ml.contract.experiment import ExperimentConfig
from ml.contract.presets import PRESETS, preset
from tests.factories import TINY, contest_over_http, experiment_over_http
from tests.test_straight_line import flat

CHINESE = {"Accept-Language": "zh-CN"}


def group(html: str, name: str) -> str:
    """One group's part of the page."""
    return html[html.index(f'id="g-{name}"') :].split("</details>")[0]


def field(html: str, name: str) -> str:
    """One field's part of the page."""
    return html[html.index(f'data-field="{name}"') :].split('data-field="')[1]


def text_of(html: str) -> str:
    """What the JSON door holds."""
    found = re.search(r'<textarea id="f-json"[^>]*>\n?(.*?)</textarea>', html, re.DOTALL)
    assert found
    return unescape(found[1])


def test_groups_say_what_differs_from_the_defaults_and_are_folded() -> None:
    plain = preset("demo").model_dump()
    found = {item.name: item for item in forms.groups(plain, start=plain)}
    assert found["data"].told == "1 changed: Maximum length 48"
    assert found["encoder"].told == "5 changed: Size tiny, Layers 2, Hidden size 128, …"
    assert (found["tokens"].told, found["fusion"].told) == ("", "off")
    assert not any(item.open for item in found.values())


def test_a_group_that_was_changed_or_is_wrong_is_open() -> None:
    plain = preset("demo").model_dump()
    changed = {**plain, "tokens": {**plain["tokens"], "min_count": "7"}, "fusion": {}}
    found = {item.name: item for item in forms.groups(changed, {"data.folds": "no"}, start=plain)}
    assert [name for name, item in found.items() if item.open] == ["data", "tokens", "fusion"]
    same = {**plain, "finetune": {**plain["finetune"], "learning_rate": "5e-4"}}
    assert not any(item.open for item in forms.groups(same, start=plain)), "5e-4 is 0.0005"


def test_every_rule_has_words_and_a_field_that_does_not_count_says_them() -> None:
    for name, rule in rules().items():
        told = clauses(name)
        assert len(told) == len(rule.applies) + len(rule.fits)
        assert all(re.fullmatch(r"(Counts o|O)nly when .+\.", clause["reason"]) for clause in told)
    found = {item.name: item for part in forms.groups(preset("demo").model_dump()) for item in part.fields}
    assert found["encoder.embedding_size"].reason == "Counts only when Encoder is albert / electra."
    assert found["augment.max_per_component"].reason == (
        "Counts only when Close positives is on or Carry negatives is on."
    )
    assert found["pretrain.mlm_probability"].reason == ""
    typed = {"encoder": {"model_type": "albert"}, "pretrain": {}}
    found = {item.name: item for part in forms.groups(typed) for item in part.fields}
    assert (found["encoder.embedding_size"].reason, found["pretrain.sentence_order"].reason) == ("", "")


def test_what_is_not_sent_is_as_in_the_parent_or_the_preset() -> None:
    base = preset("best").model_dump(exclude={"version"})
    form = {"pretrain.enabled": "on", "finetune.learning_rate": "3e-5"}
    config = forms.parse(form, base).config
    assert config is not None
    assert config.finetune.learning_rate == 3e-5
    assert config.model_copy(update={"finetune": preset("best").finetune}) == preset("best")


def test_what_was_typed_into_a_part_that_is_off_is_kept() -> None:
    read = forms.parse({"pretrain.mlm_probability": "nonsense", "seed": "x"})
    assert [error.field for error in read.errors] == ["seed"]
    part = next(item for item in forms.groups(read.typed, unused=read.unused) if item.name == "pretrain")
    assert next(item.value for item in part.fields if item.name == "pretrain.mlm_probability") == "nonsense"


def test_a_clone_is_marked_where_it_differs_from_its_parent(client: TestClient) -> None:
    contest_over_http(client)
    experiment_over_http(client, config={**TINY, "seed": 77})
    clone = client.get("/experiments/new?contest=oppo&clone=1").text
    assert 'class="field changed' not in clone
    assert "Show all fields" in clone
    form = {"contest": "oppo", "parent_id": "1", **flat({**TINY, "pretrain": None}), "door": "look", "seed": "78"}
    looked = client.post("/experiments/form", data={**form, "finetune.learning_rate": "2e-5"})
    assert looked.status_code == 200
    rate = field(looked.text, "finetune.learning_rate")
    assert re.search(r'<p class="parent">\s*parent: 0.001', rate), "seen without JavaScript"
    assert 'class="parent" hidden' in field(looked.text, "finetune.head")
    assert "1 changed: Learning rate 2e-5" in group(looked.text, "finetune")
    assert re.search(r'<p class="parent">\s*parent: on', group(looked.text, "pretrain")), "the whole part is off now"
    assert " open" in group(looked.text, "seed").split(">")[0]
    assert "Already run as" not in looked.text
    assert "1 run to train" in looked.text, "what queueing would do is told without JavaScript, too"
    assert client.get("/api/v1/contests/oppo/leaderboard").json()["total"] == 1, "nothing is queued"


def test_a_value_that_nothing_reads_is_said(client: TestClient) -> None:
    contest_over_http(client)
    form = {"contest": "oppo", "pretrain.enabled": "on", **flat(TINY), "pretrain.rtd_weight": "9"}
    told = client.post("/experiments/preview", data=form).text
    assert "Not read: Discriminator weight 9." in told
    assert "Counts only when Encoder is electra." in told
    assert "Not read" not in client.post("/experiments/preview", data={**form, "encoder.model_type": "electra"}).text
    made = client.post("/experiments", data={**form, "name": "x"})
    config = client.get(f"/api/v1{made.headers['location']}").json()["config"]
    assert config["pretrain"]["rtd_weight"] == 9, "never dropped"


def test_json_is_another_door(client: TestClient) -> None:
    contest_over_http(client)
    page = client.get("/experiments/new?contest=oppo&preset=best&as=json").text
    assert config_json.read(text_of(page)).config == preset("best")
    assert 'name="finetune.learning_rate"' not in page
    form = {"contest": "oppo", "name": "by json", "json": json.dumps(TINY)}
    made = client.post("/experiments", data=form)
    assert made.status_code == 303, made.text
    config = client.get(f"/api/v1{made.headers['location']}/config").json()
    assert ExperimentConfig.model_validate(config) == ExperimentConfig.model_validate(TINY)
    assert f"/api/v1{made.headers['location']}/config" in client.get(made.headers["location"]).text
    assert "Already run as" in client.post("/experiments/preview", data={**form, "json": json.dumps(config)}).text
    file = {"json_file": ("config.json", json.dumps({**TINY, "seed": 12}).encode(), "application/json")}
    other = client.post("/experiments", data={**form, "json": "the file counts"}, files=file)
    assert client.get(f"/api/v1{other.headers['location']}/config").json()["seed"] == 12
    sweep = client.post("/experiments", data={**form, "sweep": "seed = 20 | 21"})
    assert sweep.headers["location"].endswith("id:3,4")


def test_wrong_json_is_kept_and_told_by_path_line_and_value(client: TestClient) -> None:
    contest_over_http(client)
    text = '{"data": {"folds":\n "many"},\n"finetune": {"learing_rate": 1}}'
    answer = client.post("/experiments", data={"contest": "oppo", "name": "x", "json": text})
    assert answer.status_code == 422
    assert text_of(answer.text) == text
    said = unescape(re.sub(r"<[^>]+>", "", answer.text))
    assert "data.folds: line 2: Input should be a valid integer" in said
    assert "'many'" in said
    assert "finetune.learing_rate: line 3: there is no such field: did you mean finetune.learning_rate?" in said
    for wrong, why in {
        "": "is no JSON",
        '{"seed": 1,\n"seed": 2}': "'seed' stands twice",
        '{"seed": NaN}': "NaN is no number",
        "[1]": "a config is an object",
        '{"seed": 1,\n}': "line 2:",
        '{"version": 9}': "is not known here",
        '{"version": 1, "data": 3}': "is no object",
        '{"encoder": {"weights": "\\ud800"}}': "half a character",
        '{"data": [1]}': "is no object",
        '{"data": null}': "is no object",
        "[" * 100_000: "too deeply",
        " " * 200_001: "characters are no config",
    }.items():
        refused = client.post("/experiments/form", data={"contest": "oppo", "json": wrong, "door": "fields"})
        assert refused.status_code == 422, wrong[:40]
        assert why in unescape(refused.text), wrong[:40]
    assert client.get("/api/v1/contests/oppo/leaderboard").json()["total"] == 0


def test_fields_become_json_and_json_becomes_fields(client: TestClient) -> None:
    contest_over_http(client)
    form = {"contest": "oppo", "pretrain.enabled": "on", **flat(TINY), "finetune.learning_rate": "2e-5"}
    turned = client.post("/experiments/form", data={**form, "name": "kept", "door": "json"})
    assert 'value="kept"' in turned.text
    plain: dict[str, Any] = json.loads(text_of(turned.text))
    assert plain["finetune"]["learning_rate"] == 2e-5
    wrong = client.post("/experiments/form", data={**form, "seed": "many", "door": "json"})
    assert wrong.status_code == 422
    assert json.loads(text_of(wrong.text))["seed"] == "many", "what was typed travels, right or wrong"
    plain["encoder"]["model_type"] = "nezha"
    back = client.post("/experiments/form", data={"contest": "oppo", "json": json.dumps(plain), "door": "fields"})
    assert back.status_code == 200
    assert "<option selected>nezha</option>" in back.text
    assert 'name="json"' not in back.text
    plain["seed"] = "many"
    still = client.post("/experiments/form", data={"contest": "oppo", "json": json.dumps(plain), "door": "fields"})
    assert still.status_code == 422
    assert 'value="many"' in still.text
    assert "line 1" not in still.text, "a line means nothing where there is no text"


def test_errors_lead_to_their_fields(client: TestClient) -> None:
    contest_over_http(client)
    typed = {"contest": "oppo", "name": "", "seed": "x", "data.folds": "1", "placement.max_hours": "soon"}
    html = client.post("/experiments", data=typed | {"finetune.learing_rate": "1"}).text
    assert '<a href="#f-name">Name</a>' in client.post("/experiments", data={"contest": "oppo", "name": ""}).text
    for name in re.findall(r'<li><a href="#([^"]+)"', html):
        assert html.count(f'id="{name}"') == 1
    html = client.post("/experiments", data={"contest": "oppo", "name": "x", "seed": "x", "data.folds": "1"}).text
    assert '<a href="#f-data-folds">Folds</a>' in html
    assert 'aria-describedby="f-data-folds-help f-data-folds-reason f-data-folds-error"' in html


def test_one_language_a_page(client: TestClient) -> None:
    contest_over_http(client)
    chinese = client.get("/experiments/new?contest=oppo", headers=CHINESE).text
    for text in ("新实验", "学习率", "仅当编码器类型为 albert / electra时起作用。", "提交实验", "全部展开"):
        assert text in chinese, text
    for text in ("New experiment", "Learning rate<", "Counts only", "Queue experiment", "Maximum length"):
        assert text not in chinese, text
    assert "学习率<" not in client.get("/experiments/new?contest=oppo").text
    assert set(PRESETS) <= set(re.findall(r"preset=([\w-]+)", chinese))
