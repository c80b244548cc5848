"""Many rows at once: tags, the archive, cancelling and retrying; by service, REST and form."""

import re

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests.models import Contest
from app.errors import NotFound, Refused
from app.experiments import queries as experiment_queries
from app.leaderboard.importing import import_table
from app.leaderboard.queries import ranked
from app.leaderboard.row_queries import rows_of
from app.leaderboard.selection import apply
from tests.factories import TINY, contest_over_http, experiment_over_http, make_contest

TABLE = (
    "| experiment | train | valid | online |\n|-|-|-|-|\n| a | 0.9 | 0.8 | 0.7 |\n| b | 0.9 | 0.81 | |\n| c | | | |\n"
)


@pytest.fixture
def contest(session: Session) -> Contest:
    made = make_contest(session, "Oppo")
    import_table(session, "oppo", TABLE)
    return made


def ids(session: Session, contest: Contest, search: str = "", *, archived: bool = False) -> list[int]:
    return [row.id for row in ranked(session, contest, search=search, sort="id", archived=archived).rows]


def test_tags(session: Session, contest: Contest) -> None:
    a, b, c = ids(session, contest)
    assert apply(session, contest, [a, b], "tag", " 送-1 ").done == [a, b]
    outcome = apply(session, contest, [b, c, b], "tag", "送-1")
    assert (outcome.done, outcome.left) == ([c], {b: "it is tagged 送-1 already"})
    apply(session, contest, [a], "tag", "alpha")
    assert rows_of(session, contest, [a])[0].tags == ("alpha", "送-1")
    assert experiment_queries.tags_in(session, contest.id) == ["alpha", "送-1"]
    assert ids(session, contest, "tag:alpha") == [a]
    assert ids(session, contest, "tag!=alpha") == [b, c]
    assert ids(session, contest, "-tag:送-1") == []
    outcome = apply(session, contest, [a, b], "untag", "alpha")
    assert (outcome.done, outcome.left) == ([a], {b: "it is not tagged alpha"})
    for wrong in ("", "two words", "-a", "x" * 41, "a:b", "a\nb"):
        with pytest.raises(Refused, match="a tag is a word"):
            apply(session, contest, [a], "tag", wrong)


def test_the_archive(session: Session, contest: Contest) -> None:
    a, b, c = ids(session, contest)
    assert apply(session, contest, [a, c], "archive").done == [a, c]
    assert apply(session, contest, [a], "archive").left == {a: "it is archived already"}
    assert (ids(session, contest), ids(session, contest, archived=True)) == ([b], [a, c])
    ranking = ranked(session, contest, search="valid>0")
    assert (ranking.total, ranking.everything, ranking.elsewhere) == (1, 1, 2)
    away = ranked(session, contest, archived=True)
    assert (away.total, away.everything, away.elsewhere) == (2, 2, 1)
    assert rows_of(session, contest, [a])[0].train is not None  # its page still shows its scores
    outcome = apply(session, contest, [a, b], "restore")
    assert (outcome.done, outcome.left) == ([a], {b: "it is not in the archive"})
    assert ids(session, contest) == [a, b]


def test_what_is_refused_changes_nothing(session: Session, contest: Contest) -> None:
    a, *_ = ids(session, contest)
    other = make_contest(session, "Other")
    import_table(session, "other", TABLE)
    (foreign, *_) = ids(session, other)
    with pytest.raises(NotFound, match=f"no experiment {foreign}, 999999"):
        apply(session, contest, [a, foreign, 999999], "archive")
    with pytest.raises(Refused, match="'burn' is none of tag, untag"):
        apply(session, contest, [a], "burn")
    with pytest.raises(Refused, match="no row is selected"):
        apply(session, contest, [], "archive")
    assert a in ids(session, contest)


@pytest.mark.parametrize(
    ("search", "found"), [("id:1", [0]), ("id:1,3", [0, 2]), ("id!=1", [1, 2]), ("-id:1,2", [2]), ("id:77", [])]
)
def test_rows_by_their_numbers(session: Session, contest: Contest, search: str, found: list[int]) -> None:
    every = ids(session, contest)
    here = re.sub(r"[123]\b", lambda match: str(every[int(match[0]) - 1]), search.replace("77", "9" * 15))
    assert ids(session, contest, here) == [every[place] for place in found]
    for wrong in ("id:x", "id:1,", "id>1", "id:" + "9" * 19):
        with pytest.raises(Refused, match="write id:3,7"):
            ids(session, contest, wrong)


def test_runs_by_rest(client: TestClient) -> None:
    contest_over_http(client)
    for number in range(3):
        made = experiment_over_http(client, config={**TINY, "pretrain": None, "seed": number})
    assert made["made_by"] == "local"

    def act(action: str, *chosen: int, **more: str) -> dict:
        body = {"ids": list(chosen), "action": action, **more}
        answer = client.post("/api/v1/contests/oppo/selection", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert act("archive", 1) == {"done": [], "left": {"1": "it has not ended: cancel it first"}}
    assert act("cancel", 1, 2) == {"done": [1, 2], "left": {}}
    assert act("cancel", 2, 3) == {"done": [3], "left": {"2": "it has ended: there is nothing to cancel"}}
    again = act("retry", 3)
    assert again["done"] == [3]
    assert client.get("/api/v1/experiments/3").json()["status"] == "queued"
    left = act("retry", 3, 1)
    assert left["done"] == [1]
    assert "nothing to try again" in left["left"]["3"]
    assert act("archive", 2)["done"] == [2]
    assert client.get("/api/v1/experiments/2").json()["archived_at"] is not None
    assert [row["id"] for row in client.get("/api/v1/contests/oppo/leaderboard").json()["rows"]] == [3, 1]
    away = client.get("/api/v1/contests/oppo/leaderboard?archived=true").json()
    assert [row["id"] for row in away["rows"]] == [2]
    act("tag", 1, tag="send")
    assert client.get("/api/v1/experiments/1").json()["tags"] == ["send"]
    for body in (
        {"ids": [10**30], "action": "archive"},
        {"ids": [], "action": "tag"},
        {"ids": [1], "action": "burn"},
        {"ids": [1], "action": "tag", "tag": ""},
    ):
        assert client.post("/api/v1/contests/oppo/selection", json=body).status_code == 422
    assert client.post("/api/v1/contests/oppo/selection", json={"ids": [9], "action": "archive"}).status_code == 404


def test_the_form_shows_the_view_again_and_what_became_of_the_rows(client: TestClient) -> None:
    contest_over_http(client)
    for number in range(2):
        experiment_over_http(client, name=f"row {number}", config={**TINY, "pretrain": None, "seed": number})

    def post(query: str = "", **form: object) -> str:
        answer = client.post(f"/contests/oppo/selection?{query}", data=form)
        assert answer.status_code == 303
        return answer.headers["location"]

    assert post("sort=name&show=by", ids=["1", "2"], action="cancel") == "/contests/oppo?sort=name&show=by"
    html = client.get("/contests/oppo?sort=name&show=by").text
    assert "2 cancelled." in html
    assert ">local<" in html
    assert "2 cancelled." not in client.get("/contests/oppo").text  # said once
    post(ids=["1", "2"], action="tag", tag="send")
    html = client.get("/contests/oppo").text
    assert "2 tagged send." in html
    assert html.count('class="chip tag"') == 2
    assert post(ids=["2"], action="only", query="search=x&offset=200") == "/contests/oppo?search=id%3A2"
    many = post(ids=[str(number) for number in range(1, 901)], action="only")
    assert "showing 2 of 2" in client.get(many).text
    assert client.post("/contests/oppo/selection", data={"ids": "9" * 30, "action": "archive"}).status_code == 422
    post(ids=["1"], action="archive")
    html = client.get("/contests/oppo").text
    assert "1 archived." in html
    assert "1 in the archive" in html
    assert "row 0" not in html
    html = client.get("/contests/oppo?archived=true").text
    assert "row 0" in html
    assert "Restore" in html
    assert "In the" in client.get("/experiments/1").text
    post("archived=true", ids=["1", "2"], action="restore")
    assert "1 restored. Left as they are: 2: it is not in the archive." in client.get("/contests/oppo").text
    post(action="archive")
    assert "no row is selected" in client.get("/contests/oppo").text
    csv = client.get("/contests/oppo/leaderboard.csv").text
    assert ",tags," in csv.splitlines()[0]
    assert ",send," in csv
