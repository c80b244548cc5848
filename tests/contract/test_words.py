"""The contract's messages: English by themselves, in another language where a program puts its translator in."""

import contextvars
from pathlib import Path

import pytest

from ml.contract import words
from ml.contract.experiment import ExperimentConfig
from ml.contract.pair_file import BadRow, PairFileLayout, read_rows


def test_english_without_a_translator() -> None:
    assert words.text("%(count)s of %(name)r, 100%%", count=2, name="a") == "2 of 'a', 100%"


def test_validators_and_the_reader_speak_through_the_translator(tmp_path: Path) -> None:
    said = {
        "1 fold has nothing to hold out: 0 (one held-out part) or 2 to 20": "一折",
        "%(found)s fields instead of %(wanted)s": "%(wanted)s/%(found)s",
    }
    path = tmp_path / "pairs.tsv"
    path.write_text("a\tb\tc\td\n")

    def look() -> list[PairFileLayout | object]:
        words.TRANSLATOR.set(lambda message: said.get(message, message))
        with pytest.raises(ValueError, match="一折"):
            ExperimentConfig.model_validate({"data": {"folds": 1}})
        return list(read_rows(path, PairFileLayout(columns=3, label_column=2), "train"))

    assert contextvars.copy_context().run(look) == [BadRow(1, "3/4", "a\tb\tc\td")]
    assert words.text("%(found)s fields instead of %(wanted)s", found=4, wanted=3) == "4 fields instead of 3"
