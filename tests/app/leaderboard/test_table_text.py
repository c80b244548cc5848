"""Tables as people keep them: the grammar of a cell, and that what is written reads back the same."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.leaderboard import table_text
from app.leaderboard.table_text import cell_text, read_cell, read_tables, write_csv, write_markdown

NOTE = Path(__file__).resolve().parents[4] / "shared" / "seed-notes.md"


@pytest.mark.parametrize(
    ("text", "value", "uncertain", "remark"),
    [
        ("0.8778", 0.8778, False, ""),
        ("0.8?", 0.8, True, ""),
        ("0.8772=", 0.8772, False, "="),
        ("0.884897;提升0.00001", 0.884897, False, "提升0.00001"),
        ("0.884897；提升0.00001", 0.884897, False, "提升0.00001"),
        ("0.88 (board A)", 0.88, False, "board A"),
        ("0.88（A榜）", 0.88, False, "A榜"),
        ("87.78%", 0.8778, False, ""),
        ("≈0.88", 0.88, True, ""),
        ("约0.88", 0.88, True, ""),
        ("０．８８", 0.88, False, ""),
        (".5", 0.5, False, ""),
        ("0.8.1", None, False, ""),
        ("v7", None, False, ""),
        ("12abc", None, False, ""),
        ("1e999", None, False, ""),
    ],
)
def test_cells(text: str, value: float | None, uncertain: bool, remark: str) -> None:
    cell = read_cell(text)
    assert cell.value == (pytest.approx(value, rel=1e-15) if value is not None else None)
    assert (cell.uncertain, cell.remark, cell.text) == (uncertain, remark, text)


def test_the_note(shared_data: Path) -> None:
    reading = read_tables(NOTE.read_text(encoding="utf-8"))
    assert len(reading.rows) == 12
    by_name = {row.name: row for row in reading.rows}
    first = by_name["Train_epoch=1 finetune_epoch=1"]
    assert first.train is None
    assert first.valid is not None
    assert (first.valid.value, first.valid.uncertain) == (0.8, True)
    ngram = by_name["使用n-gram mask"]
    assert ngram.online is not None
    assert (ngram.online.value, ngram.online.remark) == (0.884897, "提升0.00001")
    last = by_name["ELECTRA+k-fold+checkpoint集成"]
    assert last.online is not None
    assert (last.train, last.valid, last.online.value) == (None, None, 0.885)
    assert any("empty row" in remark for remark in reading.remarks)


plain = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf", "Co", "Cn"]), max_size=12)
word = plain.map(str.strip).filter(bool)


@given(
    name=word,
    value=st.floats(0, 1),
    uncertain=st.booleans(),
    remark=st.text("提升board A0.1=|*_`[]<>&~\\!#-+()（）;；,%?", max_size=15),
)
def test_a_written_table_reads_back(name: str, value: float, uncertain: bool, remark: str) -> None:
    """Also names and remarks that are full of Markdown."""
    cell = read_cell(cell_text(value, None, uncertain, remark))
    text = cell_text(value, None, uncertain, cell.remark)
    (row,) = read_tables(write_markdown([(name, "", "0.5", text)])).rows
    assert row.name == name
    assert row.train is None
    assert row.valid is not None
    assert row.valid.value == 0.5
    assert row.online is not None
    assert (row.online.value, row.online.uncertain, row.online.text) == (value, uncertain, text)


def test_a_row_with_more_cells_than_its_header_loses_none() -> None:
    reading = read_tables("| 实验 | online |\n| - | - |\n| a | 0.5 | second board 0.6 |\n")
    assert reading.rows[0].extra == {"column 3": "second board 0.6"}
    assert "more cells than the header" in reading.remarks[0]


def test_other_tables_are_left_alone_and_said_so() -> None:
    reading = read_tables(
        "| card | minutes |\n|-|-|\n| P100 | 55 |\n\ntext\n\n| model | dev |\n|-|-|\n| bert | 0.9 |\n"
    )
    assert [(row.name, row.valid.value if row.valid else None) for row in reading.rows] == [("bert", 0.9)]
    assert reading.remarks == ["lines 1 to 3: not a score table, left alone: | card | minutes |"]


def test_a_row_without_a_name_and_a_cell_without_a_number_are_kept() -> None:
    reading = read_tables("| experiment | online |\n|-|-|\n| | 0.7 |\n| b | soon |\n")
    assert [row.name for row in reading.rows] == ["(unnamed, line 3)", "b"]
    assert reading.rows[1].online is not None
    assert reading.rows[1].online.value is None
    assert len(reading.remarks) == 2


def test_csv_starts_no_formula() -> None:
    text = write_csv(["a", "b"], [["=1+1", 0.5], ["-x", None]])
    assert text == "\ufeffa,b\r\n'=1+1,0.5\r\n'-x,\r\n"


def test_rows_that_stand_in_no_table_are_named() -> None:
    """Behind an indent, prose, or a rule of another width: nothing is dropped silently."""
    reading = read_tables(
        "| experiment | online |\n|-|-|\n| a | 0.5 |\n    | b | 0.6 |\n\nprose\n| c | 0.7 |\n\n"
        "| experiment | online |\n|-|-|-|\n| d | 0.8 |\n"
    )
    assert [row.name for row in reading.rows] == ["a"]
    assert [remark.partition(":")[0] for remark in reading.remarks] == [f"line {n}" for n in (4, 7, 9, 10, 11)]
    assert reading.remarks[0] == "line 4: stands in no table, left alone: | b | 0.6 |"


def test_a_row_of_as_many_cells_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    real = table_text.MarkdownIt.parse
    monkeypatch.setattr(table_text.MarkdownIt, "parse", lambda self, text: parsed.append(text) or real(self, text))
    rows = read_tables("| experiment | online |\n|-|-|\n" + "| a | 0.5 |\n" * 50).rows
    assert len(rows) == 50
    assert len(parsed) == 1
