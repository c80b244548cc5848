"""The config: bounds, unknown fields, versions, fingerprints, presets."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ml.contract.experiment import DataConfig, ExperimentConfig, PretrainConfig, differences, merge, upgrade
from ml.contract.fingerprint import code_version, experiment_fingerprint, pretrain_fingerprint
from ml.contract.presets import PRESETS, preset
from ml.contract.scores import METRICS

AB = {"train": "ab"}


def knobs(model: type[BaseModel]) -> list[tuple[str, Any]]:
    """Every field of the recipe, groups opened."""
    found = []
    for name, info in model.model_fields.items():
        options = getattr(info.annotation, "__args__", (info.annotation,))
        below = [item for item in options if isinstance(item, type) and issubclass(item, BaseModel)]
        found += knobs(below[0]) if below else [(f"{model.__name__}.{name}", info)]
    return found


@pytest.mark.parametrize(
    ("name", "info"), [item for item in knobs(ExperimentConfig) if not item[0].endswith("version")]
)
def test_every_knob_is_titled_in_both_languages(name: str, info: Any) -> None:
    assert info.title
    assert info.description
    assert info.json_schema_extra["title_zh"]
    if info.annotation in (int, float):
        assert len([item for item in info.metadata if type(item).__name__ in {"Ge", "Gt", "Le", "Lt"}]) == 2, "bounds"


@pytest.mark.parametrize(
    "change",
    [
        {"sede": 1},
        {"finetune": {"learing_rate": 1e-3}},
        {"seed": -1},
        {"seed": 2**31},
        {"data": {"valid_fraction": float("nan")}},
        {"encoder": {"hidden_size": 250, "num_attention_heads": 4}},
        {"version": 3},
    ],
)
def test_what_is_wrong_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExperimentConfig.model_validate(change)


def test_old_rows_stay_readable_and_newer_ones_say_so() -> None:
    assert upgrade({}) == ExperimentConfig()
    assert upgrade({"version": 1, "seed": 7}) == ExperimentConfig(seed=7, data=DataConfig(split_seed=7))
    assert upgrade(preset("small").model_dump(mode="json")) == preset("small")
    with pytest.raises(ValueError, match=r"config version 9 is not known here .* update pairboard"):
        upgrade({"version": 9})


@pytest.mark.parametrize(
    "stored",
    [
        {"version": 1, "data": None},
        {"version": 1, "data": [1]},
        {"version": 1, "seed": [1]},
        {"encoder": {"size": []}},
        {"encoder": {"size": {}}},
        {"fusion": {}},
    ],
)
def test_parts_of_another_kind_are_refused_by_name(stored: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        upgrade(stored)
    (name,) = {"data", "encoder", "fusion"} & set(stored) or {"seed"}
    assert name in {item["loc"][0] for item in caught.value.errors()}


def test_a_refusal_is_short_whatever_was_typed() -> None:
    for stored in ({"version": 10**400}, {"encoder": {"size": "tiny", "hidden_size": 10**400}}):
        with pytest.raises(ValueError, match=r"version 10+|hidden_size 10+") as caught:
            upgrade(stored)
        message = caught.value.errors()[0]["msg"] if isinstance(caught.value, ValidationError) else str(caught.value)
        assert len(message) < 200


def test_a_group_can_be_changed_or_removed() -> None:
    base = preset("demo").model_dump()
    merged = ExperimentConfig.model_validate(merge(base, {"finetune": {"num_train_epochs": 1}, "pretrain": None}))
    assert merged.finetune.num_train_epochs == 1
    assert merged.finetune.learning_rate == preset("demo").finetune.learning_rate
    assert merged.pretrain is None
    with pytest.raises(ValueError, match="there is no preset 'demmo': choose one of demo, scratch, small, base"):
        preset("demmo")


def test_fingerprints_tell_what_counts() -> None:
    demo = preset("demo")
    tuned = demo.model_copy(update={"finetune": demo.finetune.model_copy(update={"learning_rate": 1e-5})})
    assert pretrain_fingerprint(demo, AB) == pretrain_fingerprint(tuned, AB)
    assert pretrain_fingerprint(demo, AB) != pretrain_fingerprint(demo, {"train": "cd"})
    assert pretrain_fingerprint(demo, AB) != pretrain_fingerprint(demo.model_copy(update={"seed": 1}), AB)
    assert pretrain_fingerprint(demo, AB) == pretrain_fingerprint(demo, {**AB, "test": "x", "unlabelled": "y"})
    assert demo.pretrain is not None
    reading = demo.model_copy(update={"pretrain": demo.pretrain.model_copy(update={"unlabelled": True})})
    assert pretrain_fingerprint(reading, AB) != pretrain_fingerprint(reading, {**AB, "unlabelled": "y"})
    assert experiment_fingerprint(demo, {"train": "ab"}) != experiment_fingerprint(tuned, {"train": "ab"})
    assert len(code_version()) == 16
    with pytest.raises(ValueError, match="no pretraining"):
        pretrain_fingerprint(preset("scratch"), AB)


def test_presets_explain_themselves() -> None:
    assert all(PRESETS.values())
    assert len({preset(name).model_dump_json() for name in PRESETS}) == len(PRESETS)
    assert [name for name in PRESETS if name.startswith("note-")] == [f"note-{n:02d}" for n in range(1, 13)]
    with pytest.raises(ValueError, match="there is no size 'huge': choose one of tiny, mini, small, base, large"):
        preset("note-01", "huge")


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("roc_auc", float("nan"), "not a number that can be ranked"),
        ("roc_auc", float("inf"), "not a number that can be ranked"),
        ("roc_auc", 87.78, r"did you mean 0\.8778\?"),
        ("roc_auc", -0.1, "outside the range of AUC"),
        ("log_loss", -1.0, r"0 or more"),
    ],
)
def test_scores_out_of_range(metric: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METRICS[metric].check(value)


def test_scores_in_range() -> None:
    assert [METRICS["roc_auc"].check(value) for value in (0.0, 0.8778, 1.0)] == [0.0, 0.8778, 1.0]
    assert METRICS["log_loss"].check(12.5) == 12.5


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"data": {"folds": 1}}, r"data.folds[\s\S]*0 \(one held-out part\) or 2 to 20"),
        ({"data": {"folds": 21}}, r"data.folds[\s\S]*less than or equal to 20"),
        ({"pretrain": {"mlm_probability": 1.5}}, r"pretrain.mlm_probability[\s\S]*less than or equal to 0.8"),
        ({"pretrain": {"ngram_probabilities": [0.7, 0.2]}}, r"ngram_probabilities[\s\S]*0.7, 0.2 sum to 0.9"),
        ({"pretrain": {"ngram_probabilities": [1.5, -0.5]}}, r"ngram_probabilities[\s\S]*probabilities from 0 to 1"),
        ({"pretrain": {"mask_token_share": 0.8, "random_token_share": 0.3}}, "more than 1 together"),
        ({"pretrain": {"mlm_probability": 0.6, "gap_after_span": True}}, "stay below 0.5"),
        ({"fusion": {"members": [3]}}, r"fusion.members[\s\S]*name 2 to 50"),
        ({"fusion": {"members": [3, 3]}}, r"fusion.members[\s\S]*each experiment stands once"),
        ({"data": {"folds": 3}, "pretrain": {"positives_only": True}}, "pretrain.positives_only with data.folds"),
        ({"data": {"folds": 3}, "pretrain": {"augmented": True}}, "pretrain.augmented with data.folds"),
        ({"data": {"folds": 3, "full_data": True}}, "set folds to 0, or full_data off"),
        ({"data": {"folds": 3, "split_by": "row"}}, "folds are by component"),
        ({"data": {"full_data": True}}, "set finetune.max_steps"),
        (
            {"data": {"full_data": True}, "finetune": {"max_steps": 9, "averaging": "best_weights"}},
            "needs a valid part",
        ),
        ({"augment": {"augment_before_split": True, "swap": "copies"}}, "set data.split_by to row"),
        ({"augment": {"augment_before_split": True}, "data": {"split_by": "row"}}, "has nothing to do"),
        ({"encoder": {"embeddings": "frequency"}}, "name their folder in weights"),
        ({"encoder": {"size": "tiny", "hidden_size": 100}}, "set size to explicit"),
        ({"encoder": {"model_type": "electra", "weights": "/w"}, "pretrain": {}}, "have no generator"),
        ({"finetune": {"early_stopping_patience": 2, "averaging": "swa"}}, "choose one"),
        ({"finetune": {"num_processes": 9}}, r"finetune[\s\S]*fewer than 8 of batch_size 64 rows: ask for at most 8"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_way_out(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        ExperimentConfig.model_validate(changes)


def test_marks_tell_what_flatters() -> None:
    leak = {"augment": {"augment_before_split": True, "swap": "copies"}, "data": {"split_by": "row"}}
    assert list(ExperimentConfig.model_validate(leak).marks) == ["leaking"]
    assert list(ExperimentConfig.model_validate({"data": {"split_by": "row"}}).marks) == ["leaking"]
    assert list(ExperimentConfig.model_validate({"pretrain": {"test_texts": True}}).marks) == ["transductive"]
    folds = ExperimentConfig.model_validate({"pretrain": {}, "data": {"folds": 5}})
    assert folds.marks == {"transductive": "pretraining read the texts (no labels) of every fold's valid part"}
    assert ExperimentConfig().marks == {}


def test_differences_name_fields() -> None:
    one = ExperimentConfig().model_dump(mode="json")
    other = merge(one, {"finetune": {"head": "mean"}, "pretrain": PretrainConfig().model_dump(mode="json"), "seed": 1})
    found = differences(one, other)
    assert found["finetune.head"] == ("cls", "mean")
    assert found["seed"] == (42, 1)
    assert found["pretrain"][0] is None
    assert differences(one, one) == {}
