"""The filter row under the heads of columns writes terms of the search, and reads them back."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.leaderboard import columns
from app.leaderboard.importing import import_table
from app.leaderboard.search import terms
from tests.factories import contest_over_http


@pytest.mark.parametrize(
    ("search", "typed", "found"),
    [
        ("", {"valid": "0.9"}, "valid>=0.9"),
        ("", {"valid": "≥ 0.8 <0.9"}, "valid>=0.8 valid<0.9"),
        ("valid>0.5 seed:3 -online>0", {"valid": ">0.7"}, "valid>0.7 seed:3 -online>0"),
        ("valid>0.5 status:failed", {"valid": "", "status": ""}, ""),
        ("status:failed tag:a", {"status": "finished"}, "status:finished tag:a"),
        ('"last 3" mask -v2', {"name": '"last 4"'}, '"last 4" -v2'),
        ("mask mark:leaking", {"tag": "send"}, "mask tag:send mark:leaking"),
        ("tag:a tag:b", {"tag": "c"}, "tag:c tag:b"),
        ("status!=failed", {"status": "queued"}, "status:queued status!=failed"),
    ],
)
def test_what_is_typed_takes_the_place_of_what_was_said(search: str, typed: dict[str, str], found: str) -> None:
    assert columns.join(search, typed) == found
    shown, _ = columns.split(found)
    assert columns.join(found, shown) == found  # sent again as it stands it changes nothing
    if "seed" not in found:
        terms(found)


def test_without_javascript_it_is_a_form(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    with app.state.database.writing() as session:
        import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| a one | 0.8 |\n| b two | 0.9 |\n")
    typed = {"sort": "-valid", "show": "gap", "search": "id!=77", "where.valid": ">0.85", "where.status": "external"}
    answer = client.get("/contests/oppo", params=typed)
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where == "/contests/oppo?sort=-valid&search=status%3Aexternal+valid%3E0.85+id%21%3D77&show=gap"
    html = client.get(where).text
    assert "showing 1 of 1 found among 2" in html
    assert 'name="where.valid" value="&gt;0.85"' in html
    assert '<option value="external" selected>' in html
    wrong = client.get(client.get("/contests/oppo", params={"where.valid": "high"}).headers["location"])
    assert wrong.status_code == 422
    assert "&#39;high&#39; is not a number" in wrong.text
