"""The config: bounds, unknown fields, versions, fingerprints, presets."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ml.contract.experiment import DataConfig, ExperimentConfig, merge, upgrade
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
