"""A hand-kept table on the leaderboard, and back out."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.errors import NotFound, Refused
from app.experiments import queries as experiment_queries
from app.leaderboard import exporting
from app.leaderboard.importing import import_table
from app.leaderboard.queries import ranked
from app.leaderboard.view import View
from tests.app.leaderboard.test_table_text import NOTE
from tests.factories import make_contest


@pytest.fixture
def note(shared_data: Path) -> str:
    assert shared_data.is_dir()
    return NOTE.read_text(encoding="utf-8")


def table(session: Session, slug: str) -> list[tuple[str, str, str, str]]:
    contest = contest_queries.contest(session, slug)
    lines = exporting.all_lines(session, contest, View("id"))
    return [(line.row.name, line.text("train"), line.text("valid"), line.text("online")) for line in lines]


def test_the_note_is_on_the_leaderboard_and_comes_back(session: Session, note: str) -> None:
    first = import_table(session, "oppo", note)
    assert (first.created, first.changed, first.unchanged) == (12, 0, 0)
    rows = ranked(session, contest_queries.contest(session, "oppo"), sort="-online").rows
    assert {row.status for row in rows} == {"finished"}
    assert {row.origin for row in rows} == {"external"}
    assert [row.online.value if row.online else None for row in rows][:3] == [0.885, 0.884897, 0.8778]

    second = import_table(session, "oppo", note)
    assert (second.created, second.changed, second.unchanged) == (0, 0, 12)

    before = table(session, "oppo")
    text = exporting.markdown(session, contest_queries.contest(session, "oppo"), View("id"))
    assert import_table(session, "oppo", text).unchanged == 12
    again = import_table(session, "another-contest", text)
    assert (again.created, again.changed) == (12, 0)
    assert table(session, "another-contest") == before
    assert ("Train_epoch=1 finetune_epoch=1", "", "0.8?", "0.78?") in before
    assert ("使用n-gram mask", "0.99999", "0.9953", "0.884897;提升0.00001") in before


def test_nothing_is_lost_and_nothing_taken_away(session: Session) -> None:
    head = "| experiment | valid | online |\n|-|-|-|\n"
    import_table(session, "oppo", head + "| a | 0.9 | |\n| a | | 0.7 |\n| b | high | 87.7 |\n")
    assert table(session, "oppo") == [("a", "", "0.9", ""), ("a", "", "", "0.7"), ("b", "", "", "")]
    contest = contest_queries.contest(session, "oppo")
    notes = {row.name: row.note for row in ranked(session, contest).rows}
    assert notes["b"] == "valid: high\nonline: 87.7"  # what the metric can't be stays readable

    result = import_table(session, "oppo", head + "| a | | 0.8 |\n| a | 0.6 | 0.71 |\n")
    assert (result.created, result.changed, result.unchanged) == (0, 2, 0)
    assert table(session, "oppo")[:2] == [("a", "", "0.9", "0.8"), ("a", "", "0.6", "0.71")]
    assert any("was 0.7, is now 0.71" in remark for remark in result.remarks)
    ids = [row.id for row in ranked(session, contest, sort="id").rows]
    online = [score.value for score in experiment_queries.scores_of(session, ids) if score.split == "online"]
    assert sorted(online) == [0.7, 0.71, 0.8]  # append-only


def test_a_slip_in_the_slug_makes_no_contest(session: Session) -> None:
    make_contest(session, "Oppo")
    with pytest.raises(NotFound, match="there is no contest 'opo'; did you mean 'oppo'"):
        import_table(session, "opo", "| experiment | online |\n|-|-|\n| a | 0.5 |\n")


def test_a_row_that_can_not_be_kept_is_named_by_its_line(session: Session) -> None:
    head = "| experiment | online | |\n|-|-|-|\n| a | 0.5 | |\n"
    with pytest.raises(Refused, match="line 4: the note has 50001 characters"):
        import_table(session, "oppo", head + f"| b | 0.6 | {'x' * 50_001} |\n")


def test_a_name_of_nothing_that_prints_is_one_by_its_line(session: Session) -> None:
    text = "| experiment | online |\n|-|-|\n| \u200b | 0.5 |\n| b | 0.6 |\n"
    result = import_table(session, "oppo", text)
    assert table(session, "oppo") == [("(unnamed, line 3)", "", "", "0.5"), ("b", "", "", "0.6")]
    assert "line 3: nothing of the name '\\u200b' can be printed" in result.remarks[-1]
    assert import_table(session, "oppo", text).unchanged == 2
