"""The contract in Chinese: what the form shows of each field, and errors that still name their field."""

import contextvars
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from app import forms
from app.config_errors import field_errors
from app.contract_words import contract_messages, metric_title
from app.language import choose, lookup
from ml.contract.experiment import ExperimentConfig
from ml.contract.presets import PRESETS
from ml.contract.scores import METRICS

CHINESE = re.compile(r"[一-鿿]")


def in_chinese(do: Callable[[], Any]) -> Any:
    """Do it as a request of a Chinese reader does."""

    def chosen() -> Any:
        choose("zh")
        return do()

    return contextvars.copy_context().run(chosen)


def test_the_form_shows_each_field_in_the_readers_language() -> None:
    english, chinese = forms.groups({}), in_chinese(lambda: forms.groups({}))
    assert len(english) == len(chinese) == 8
    for before, after in zip(english, chinese, strict=True):
        assert before.name == after.name
        assert CHINESE.search(after.title)
        assert not CHINESE.search(before.title)
        for one, other in zip(before.fields, after.fields, strict=True):
            assert not CHINESE.search(one.title + one.help + one.unit), one.name
            assert CHINESE.search(other.title), one.name
            assert CHINESE.search(other.help), one.name
            assert bool(CHINESE.search(other.unit)) == (one.unit not in {"", "tokens"}), one.name


def test_presets_and_metrics() -> None:
    assert set(PRESETS.values()) <= {message for message, _ in contract_messages()}
    for metric in METRICS.values():
        assert in_chinese(lambda metric=metric: (metric_title(metric), lookup(metric.title))) == (metric.title_zh,) * 2


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"data": {"full_data": True}}, "data.full_data", "没有验证集可据以停止"),
        ({"augment": {"augment_before_split": True}}, "augment.augment_before_split", "把 data.split_by 设为 row"),
        (
            {"data": {"full_data": True}, "finetune": {"max_steps": 9, "averaging": "best_weights"}},
            "finetune.averaging",
            "需要验证集",
        ),
        ({"fusion": {"members": [3]}}, "fusion.members", "1 个实验无法融合"),
    ],
)
def test_an_error_in_chinese_is_of_the_same_field(change: dict[str, Any], field: str, message: str) -> None:
    def refused() -> Any:
        with pytest.raises(ValidationError) as told:
            ExperimentConfig.model_validate(change)
        return field_errors(told.value)

    (english,), (chinese,) = refused(), in_chinese(refused)
    assert english.field == chinese.field == field
    assert message in chinese.message
    assert not CHINESE.search(english.message)
