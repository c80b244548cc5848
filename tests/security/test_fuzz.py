"""A few hundred inputs of every target of fuzz, and that fuzz sees what it is there to see."""

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from app.submissions import cells
from ml.contract import pair_file
from ml.contract.pair_file import BadRow, PairRow
from tests.security import fuzz_pairs, fuzz_tables
from tests.security.fuzz import TARGETS, Target, fuzz, main, one
from tests.security.fuzz_workshop import Workshop

#: inputs of each target here; those that go through a database or the disk are fewer
SHORT = 250
FEW = {"pair-uploads": 60, "table-imports": 8, "event-stories": 20, "table-texts": 100, "table-rows": 120}
READERS = ("pair-rows", "prediction-rows", "run-predictions", "table-rows", "event-bodies", "configs")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("fuzzed"))
    yield made
    made.close()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_a_clear_refusal_comes_out_and_no_good_row_is_lost(workshop: Workshop, name: str) -> None:
    tally = fuzz(TARGETS[name], range(FEW.get(name, SHORT)), workshop, limit_s=10)
    assert tally.findings == []
    assert tally.inputs == FEW.get(name, SHORT)
    assert tally.taken > 0, "every input was refused: nothing was tried"


def test_the_shares_are_a_million() -> None:
    assert sum(target.share for target in TARGETS.values()) == 1_000_000


@pytest.mark.parametrize("name", READERS)
def test_a_number_gives_the_same_input_again(name: str) -> None:
    target = TARGETS[name]
    assert repr(one(target, 3, 5)) == repr(one(target, 3, 5))
    assert len({repr(one(target, 3, number)) for number in range(20)}) > 10


def _broken(check: Any) -> Target:
    return Target("broken", 0, lambda draw: draw.randrange(10), check)


def test_it_tells_which_input_crashed(workshop: Workshop) -> None:
    def crashes(given: int, _workshop: Workshop) -> bool:
        return 1 // given > 0  # of 0

    tally = fuzz(_broken(crashes), range(100), workshop)
    assert 0 < tally.wrong < 100
    first = tally.findings[0]
    assert first.error.startswith("ZeroDivisionError")
    assert first.place.startswith("test_fuzz.py:")
    assert first.input == "0"
    assert one(_broken(crashes), 1, first.number) == 0


def test_it_pulls_out_of_what_hangs(workshop: Workshop) -> None:
    def hangs(given: int, _workshop: Workshop) -> bool:
        while given == 0:
            try:
                time.sleep(1)
            except Exception:  # noqa: S112  # swallows whatever it can
                continue
        return True

    numbers = [number for number in range(200) if one(_broken(hangs), 1, number) == 0][:2]
    tally = fuzz(_broken(hangs), range(numbers[0], numbers[1] + 1), workshop, limit_s=0.05)
    assert [(item.number, item.error) for item in tally.findings] == [(n, "Hang: longer than 0.05 s") for n in numbers]


def test_it_sees_a_good_row_that_a_reader_loses(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fuzz_pairs.read_rows

    def loses(*given: Any, **told: Any) -> Iterator[PairRow | BadRow]:
        return (row for row in real(*given, **told) if not (isinstance(row, PairRow) and '"' in row.a))

    monkeypatch.setattr(fuzz_pairs, "read_rows", loses)
    assert fuzz(TARGETS["pair-rows"], range(60), workshop).wrong > 0


def test_it_sees_a_row_of_a_table_that_is_dropped_silently(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fuzz_tables.read_tables

    def drops(text: str) -> Any:
        reading = real(text)
        return replace(reading, rows=reading.rows[:2])

    monkeypatch.setattr(fuzz_tables, "read_tables", drops)
    assert fuzz(TARGETS["table-rows"], range(60), workshop).wrong > 0


def test_it_finds_again_what_it_once_found(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that takes a dotless i for an i, and a line end that was counted into the length of its line."""
    monkeypatch.setattr(cells, "_INFINITE", re.compile(r"^[+-]?inf(inity)?$", re.IGNORECASE))
    assert fuzz(TARGETS["prediction-rows"], range(400), workshop).wrong > 0
    real = pair_file._lines
    monkeypatch.setattr(
        pair_file,
        "_lines",
        lambda file, first=1: (
            (number, text, bad or "too long" * (len(text.encode()) >= pair_file.LONGEST_LINE))
            for number, text, bad in real(file, first)
        ),
    )
    assert fuzz(TARGETS["pair-rows"], range(600), workshop).wrong > 0


def test_a_draw_leaves_its_seeds_as_they_are() -> None:
    draw = Random(1)
    before = json.dumps(TARGETS["configs"].draw(Random(2)), default=str)
    for _ in range(50):
        TARGETS["configs"].draw(draw)
    assert json.dumps(TARGETS["configs"].draw(Random(2)), default=str) == before


def test_the_program_ends_with_one_line_of_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--inputs", "20", "--only", "config-texts"])
    assert main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["inputs"], found["findings"]) == (20, 0)
    assert set(found["targets"]) == {"config-texts"}
