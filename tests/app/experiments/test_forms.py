"""The form is the contract: every field is on it, and what it sends comes back as the same config."""

import pytest

from app import forms
from ml.contract.experiment import ExperimentConfig
from ml.contract.presets import PRESETS, preset


def sent(config: ExperimentConfig) -> dict[str, str]:
    """What a browser sends for an untouched form."""
    found = {}
    for group in forms.groups(config.model_dump()):
        if group.optional and group.enabled:
            found[f"{group.name}.enabled"] = "on"
        for field in group.fields:
            if field.kind == "switch":
                found[field.name + forms.SHOWN] = "1"
            if field.kind != "switch" or field.value:
                found[field.name] = field.value
    return found


@pytest.mark.parametrize("name", list(PRESETS))
def test_an_untouched_form_is_the_preset(name: str) -> None:
    config, _, errors, _ = forms.parse(sent(preset(name)))
    assert errors == []
    assert config == preset(name)


def test_every_knob_is_on_the_form() -> None:
    names = {field.name for group in forms.groups(ExperimentConfig().model_dump()) for field in group.fields}
    nested = {
        f"{group}.{key}"
        for group, model in ExperimentConfig.model_fields.items()
        for option in getattr(model.annotation, "__args__", (model.annotation,))
        for key in getattr(option, "model_fields", ())
    }
    assert names == nested | {"seed"}


def test_errors_stand_beside_their_fields_and_what_was_typed_is_kept() -> None:
    typed = sent(ExperimentConfig()) | {
        "encoder.hidden_size": "100x",
        "finetune.learning_rate": "2",
        "data.max_length": "",
    }
    config, values, errors, _ = forms.parse(typed)
    assert config is None
    assert {item.field for item in errors} == {"encoder.hidden_size", "finetune.learning_rate", "data.max_length"}
    again = forms.groups(values, {item.field: item.message for item in errors})
    field = next(item for group in again for item in group.fields if item.name == "encoder.hidden_size")
    assert field.value == "100x"
    assert "integer" in field.error


def test_a_switch_that_is_off_is_off() -> None:
    typed = sent(preset("demo"))
    del typed["tokens.lowercase"]
    config, _, _, _ = forms.parse(typed)
    assert config is not None
    assert config.tokens.lowercase is False


def test_pretraining_switched_off_ignores_its_fields() -> None:
    typed = sent(preset("demo")) | {"pretrain.mlm_probability": "nonsense"}
    del typed["pretrain.enabled"]
    config, _, errors, _ = forms.parse(typed)
    assert errors == []
    assert config is not None
    assert config.pretrain is None


def test_a_field_that_is_none_is_refused() -> None:
    _, _, errors, _ = forms.parse(sent(preset("demo")) | {"finetune.learing_rate": "1"})
    assert [(item.field, item.message) for item in errors] == [
        ("finetune.learing_rate", "there is no such field: did you mean finetune.learning_rate?")
    ]


def test_a_named_size_and_numbers_of_ones_own_do_not_mix() -> None:
    """Another size is chosen: its numbers come in. A number is typed: it is not ignored without a word."""
    typed = sent(preset("demo")) | {"encoder.size": "base"}
    config, _, _, _ = forms.parse(typed)
    assert config is not None
    assert config.encoder.num_hidden_layers == 12
    config, _, errors, _ = forms.parse(sent(preset("demo")) | {"encoder.hidden_size": "64"})
    assert config is None
    assert [(e.field, "set size to explicit" in e.message) for e in errors] == [("encoder", True)]


def test_lists_of_numbers() -> None:
    for text in ("0.5, 0.5", "0.5 0.5", "0.5\uff0c0.5"):
        config, _, errors, _ = forms.parse(sent(preset("demo")) | {"pretrain.ngram_probabilities": text})
        assert errors == []
        assert config is not None
        assert config.pretrain is not None
        assert config.pretrain.ngram_probabilities == (0.5, 0.5)
    typed = sent(preset("demo")) | {"pretrain.ngram_probabilities": "0.5, x", "fusion.enabled": "on"}
    config, values, errors, _ = forms.parse(typed)
    assert config is None
    assert {error.field for error in errors} == {"pretrain.ngram_probabilities", "fusion.members"}
    shown = next(f for g in forms.groups(values) for f in g.fields if f.name == "pretrain.ngram_probabilities")
    assert shown.value == "0.5, x"


def test_groups_that_do_not_fit_together_are_told_at_a_field() -> None:
    typed = sent(preset("demo")) | {"data.folds": "5", "pretrain.positives_only": "on"}
    _, _, errors, _ = forms.parse(typed)
    assert [error.field for error in errors] == ["pretrain.positives_only"]
    assert "data.folds" in errors[0].message
