"""Which fields count: the rules name fields that there are, agree with the validators, and fingerprints follow them.

That nothing reads a field whose rule does not hold is shown by trainings, in tests/ml/test_every_field.py.
"""

from typing import Any

import pytest
from pydantic import ValidationError

from ml.contract.applies import applied, failing, idle, rules, same, value_in
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.fingerprint import experiment_fingerprint, pretrain_fingerprint
from ml.contract.presets import PRESETS, preset

#: of each field that is refused when it does not fit: its other value, and what makes it fit
FITS: dict[str, tuple[Any, dict[str, Any]]] = {
    "data.folds": (3, {}),
    "data.full_data": (True, {"finetune": {"max_steps": 9}}),
    "augment.augment_before_split": (True, {"data": {"split_by": "row"}, "augment": {"swap": "copies"}}),
    "encoder.embeddings": ("frequency", {"encoder": {"weights": "/w"}}),
    "pretrain.positives_only": (True, {"pretrain": {}}),
    "pretrain.augmented": (True, {"pretrain": {}}),
    "finetune.early_stopping_patience": (2, {}),
}


def config(changes: dict[str, Any]) -> ExperimentConfig:
    return ExperimentConfig.model_validate(changes)


def test_rules_name_fields_that_there_are() -> None:
    for rule in rules().values():
        for clause in [*rule.applies, *rule.fits]:
            for condition in clause:
                name = condition["field"]
                assert name in rules() or name.removesuffix(".enabled") in rules(), name


def test_what_does_not_fit_is_refused_and_what_fits_is_taken() -> None:
    assert set(FITS) == {name for name, rule in rules().items() if rule.fits}
    for name, (value, context) in FITS.items():
        group, _, key = name.rpartition(".")
        fitting = merge(context, {group: {key: value}})
        config(fitting)
        for clause in rules()[name].fits:
            broken = fitting
            for condition in clause:
                other, _, item = condition["field"].rpartition(".")
                wrong = condition["not"][0] if "not" in condition else _another(condition["field"], condition["is"])
                broken = merge(broken, {other: {item: wrong}})
            assert failing(rules()[name].fits, lambda field, of=broken: value_in(of, field)) is not None
            with pytest.raises(ValidationError):
                config(broken)


def _another(name: str, values: list[Any]) -> Any:
    """A value of the field that is none of these."""
    split = "component" if "row" in values else "row"
    return {"data.split_by": split, "data.folds": 3, "augment.swap": "none"}.get(name, not values[0])


def test_what_nothing_reads_does_not_count() -> None:
    for name in PRESETS:
        plain = applied(preset(name))
        assert applied(plain) == plain
        assert idle(plain) == {}
    one, other = config({"pretrain": {}}), config({"pretrain": {"rtd_weight": 3}, "finetune": {"ema_decay": 0.5}})
    assert idle(one) == {}
    assert idle(other) == {"pretrain.rtd_weight": 3.0, "finetune.ema_decay": 0.5}
    assert experiment_fingerprint(one, {}) == experiment_fingerprint(other, {})
    assert pretrain_fingerprint(one, {}) == pretrain_fingerprint(other, {})
    electra = [{"encoder": {"model_type": "electra"}, "pretrain": {"rtd_weight": weight}} for weight in (3, 4)]
    assert len({pretrain_fingerprint(config(each), {}) for each in electra}) == 2


def test_a_named_size_fills_in_its_numbers_and_they_are_not_told() -> None:
    base = config({"encoder": {"size": "base"}})
    assert idle(base) == {}
    assert applied(base).encoder.num_hidden_layers == 12


def test_a_fusion_reads_nothing_of_how_to_train() -> None:
    fusion = config({"fusion": {"members": [1, 2]}, "seed": 9, "data": {"folds": 3}})
    assert idle(fusion) == {"seed": 9, "data.folds": 3}


def test_what_was_typed_is_compared_as_what_it_means() -> None:
    for typed, value, alike in (("0", 0, True), (" 0.0", 0, True), ("", 0, False), ("x", 0, False)):
        assert same(typed, value) is alike
    for typed, value, alike in (("on", True, True), ("", False, True), (True, True, True), (False, True, False)):
        assert same(typed, value) is alike
    assert same(" bert ", "bert")
