"""Views of the table under a name: saved, opened, renamed, made the default, deleted; by form and REST."""

import re
import threading

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.errors import Conflict, Refused
from app.leaderboard import saved, saved_queries
from app.leaderboard.importing import import_table
from app.leaderboard.view import View
from tests.factories import contest_over_http, make_contest

TABLE = "| experiment | valid |\n|-|-|\n| a | 0.8 |\n| b | 0.81 |\n"
VIEW = View("-valid", "valid>0.5", ("gap",), None, group="encoder.model_type")


@pytest.fixture
def board(client: TestClient, app: FastAPI) -> TestClient:
    contest_over_http(client)
    with app.state.database.writing() as session:
        import_table(session, "oppo", TABLE)
    return client


def test_names_are_unique_in_a_contest(session: Session) -> None:
    one, two = make_contest(session, "One"), make_contest(session, "Two")
    first = saved.save(session, one, " best ", VIEW, "ann", default=None, overwrite=False)
    assert (first.name, saved.view_of(first), first.made_by) == ("best", VIEW, "ann")
    saved.save(session, two, "best", View(), "ann", default=None, overwrite=False)
    with pytest.raises(Conflict, match="there is a view 'best', by ann"):
        saved.save(session, one, "best", View(), "bo", default=None, overwrite=False)
    again = saved.save(session, one, "best", View(sort="name"), "bo", default=None, overwrite=True)
    assert (again.id, again.view["sort"], again.made_by) == (first.id, "name", "bo")
    other = saved.save(session, one, "x" * 60, View(), "ann", default=None, overwrite=False)
    with pytest.raises(Conflict, match="'best'"):
        saved.rename(session, one, other, "best")
    saved.rename(session, one, other, "other")
    assert [view.name for view in saved_queries.views_of(session, one.id)] == ["best", "other"]
    for wrong in ("", "  ", "x" * 61, "a\nb"):
        with pytest.raises(Refused, match="1 to 60 printable characters"):
            saved.save(session, one, wrong, View(), "ann", default=None, overwrite=False)
    with pytest.raises(Refused, match="is no column"):
        saved.save(session, one, "bad", View(search="vaild>1"), "ann", default=None, overwrite=False)


def test_one_default_at_a_time(session: Session) -> None:
    contest = make_contest(session, "One")
    first = saved.save(session, contest, "first", View(), "ann", default=True, overwrite=False)
    second = saved.save(session, contest, "second", View(), "ann", default=True, overwrite=False)
    assert (first.is_default, second.is_default) == (False, True)
    saved.save(session, contest, "second", View(sort="name"), "ann", default=None, overwrite=True)
    assert saved_queries.default_of(session, contest.id) is second
    saved.set_default(session, contest, second, default=False)
    assert saved_queries.default_of(session, contest.id) is None


def test_several_people_save_defaults_at_once(board: TestClient, app: FastAPI) -> None:
    wrong: list[BaseException] = []

    def put(number: int) -> None:
        try:
            with app.state.database.writing() as session:
                contest = contest_queries.contest(session, "oppo")
                name = f"view {number % 2}"
                saved.save(session, contest, name, View(), f"person {number}", default=True, overwrite=True)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    views = board.get("/api/v1/contests/oppo/views").json()
    assert [view["name"] for view in views] == ["view 0", "view 1"]
    assert [view["default"] for view in views].count(True) == 1


def test_rest(board: TestClient) -> None:
    path = "/api/v1/contests/oppo/views"
    body = {"sort": "-valid", "search": "tag:send", "show": ["hours"], "against": 1, "archived": True}
    made = board.put(f"{path}/to be/sent", json=body)
    assert made.status_code == 200, made.text
    found = made.json()
    assert found.items() >= {**body, "name": "to be/sent", "default": False, "made_by": "local"}.items()
    assert found["query"] == "sort=-valid&search=tag%3Asend&show=hours&against=1&archived=true"
    renamed = board.put(f"{path}/to be/sent", json={"rename": "sent"}).json()
    assert (renamed["name"], renamed["search"]) == ("sent", "")
    assert [view["name"] for view in board.get(path).json()] == ["sent"]
    assert board.put(f"{path}/x", json={"search": "vaild>1"}).status_code == 422
    assert board.put(f"{path}/x", json={"against": 99}).status_code == 404
    assert board.put(f"{path}/x", json={"size": 1}).status_code == 422
    assert board.delete(f"{path}/sent").status_code == 204
    gone = board.delete(f"{path}/sent")
    assert gone.status_code == 404
    assert "no view 'sent'" in gone.json()["error"]["message"]


def test_the_page_saves_marks_and_opens_them(board: TestClient) -> None:
    def post(query: str = "", **form: str) -> str:
        answer = board.post(f"/contests/oppo/views?{query}", data={"action": "save", **form})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    assert post("sort=-valid&show=gap", name="best first") == "/contests/oppo?sort=-valid&show=gap"
    html = board.get("/contests/oppo?sort=-valid&show=gap").text
    assert "This view is saved as best first." in html
    assert re.search(r'<a href="\?sort=-valid&amp;show=gap&amp;saved=true"[^>]*aria-current="true">best first', html)
    assert 'aria-current="true">best first' not in board.get("/contests/oppo?sort=valid").text

    taken = board.post("/contests/oppo/views?sort=name", data={"action": "save", "name": "best first"})
    assert taken.status_code == 409
    assert "tick overwrite" in taken.text
    assert 'name="name" value="best first"' in taken.text  # what was typed is kept
    post("sort=name", name="best first", overwrite="true")
    assert board.get("/api/v1/contests/oppo/views").json()[0]["sort"] == "name"

    post("sort=name", action="default", of="best first")
    assert board.get("/contests/oppo").headers["location"] == "/contests/oppo?sort=name&saved=true"
    whole = board.get("/contests/oppo?all").text
    assert re.search(r'<a href="\?all" aria-current="true">whole table', whole)
    assert board.get("/contests/oppo?search=&group=").status_code == 200  # the form's way to ask for nothing
    post(action="rename", of="best first", name="by name")
    post(action="plain", of="by name")
    assert board.get("/contests/oppo").status_code == 200
    assert post("sort=-valid", action="overwrite", of="by name") == "/contests/oppo?sort=-valid"
    assert board.get("/api/v1/contests/oppo/views").json()[0]["sort"] == "-valid"
    post(action="delete", of="by name")
    assert board.get("/api/v1/contests/oppo/views").json() == []
    assert board.post("/contests/oppo/views", data={"action": "delete", "of": "by name"}).status_code == 404
    assert board.post("/contests/oppo/views", data={"action": "burn", "of": ""}).status_code in {404, 422}


def test_a_view_opens_whatever_of_it_is_gone(board: TestClient) -> None:
    gone = "search=vaild%3E0.9&sort=-was&against=99&group=encoder.was"
    assert board.get(f"/contests/oppo?{gone}").status_code == 422
    found = board.get(f"/contests/oppo?{gone}&saved=true")
    assert found.status_code == 200
    for what in ("vaild", "-was", "against=99", "encoder.was"):
        assert what in found.text.split('role="status"')[1].split("</p>")[0]
    assert "showing 2 of 2" in found.text
    assert "/rows?" in found.text
    assert "against=99" not in found.text.split("data-live=")[1].split('"')[1]  # what moves is asked for without it
