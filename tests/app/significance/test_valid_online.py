"""Valid beside online, what is expected of rows not sent, and what to send, from rows of both databases."""

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.experiments.models import Experiment, Score
from app.leaderboard.importing import import_table
from app.runs import queries as run_queries
from app.runs.models import Artifact
from app.significance.findings import findings
from app.significance.sending import sending
from app.significance.sending_words import reason
from app.significance.settling import settling
from app.significance.valid_online import rounding, study
from app.significance.valid_online_words import reading
from app.storage import Storage
from app.submissions.service import OnlineScore, post_online_score
from tests.app.leaderboard.test_compare import finished
from tests.app.leaderboard.test_table_text import NOTE
from tests.app.test_chinese_pages import english_in
from tests.factories import contest_over_http, make_contest, make_file, storage_in

HEAD = "| experiment | valid | online |\n|-|-|-|\n"
#: of rows that lie about a line, 0.1 + 0.8 valid
HONEST = ((0.90, 0.8203), (0.91, 0.8279), (0.92, 0.8363), (0.93, 0.8437), (0.94, 0.8521), (0.95, 0.8602))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session, "Oppo")
    for kind in ("train", "test"):
        make_file(session, storage, made, kind)
    return made


def table(session: Session, lines: list[str]) -> Contest:
    import_table(session, "oppo", HEAD + "".join(f"| {line} |\n" for line in lines))
    return contest_queries.contest(session, "oppo")


def honest() -> list[str]:
    return [f"row {place} | {valid} | {online}" for place, (valid, online) in enumerate(HONEST)]


def trained(
    session: Session,
    storage: Storage,
    contest: Contest,
    name: str,
    valid: float,
    online: float | None = None,
    test: str | None = None,
    **changes: object,
) -> Experiment:
    """A row that ran here. `test`: its predictions of the test file."""
    made = finished(session, storage, contest, name, "", valid, **changes)
    if test is not None:
        run = run_queries.final_run(session, made.id)
        assert run is not None
        attempt = run_queries.current_attempt(session, run)
        stored = storage.store(io.BytesIO(test.encode()))
        row = Artifact(run_id=run.id, attempt_id=attempt.id, name="test_predictions.tsv", sha256=stored.sha256)
        row.size, row.created_at = stored.size, clock(session)
        session.add(row)
    if online is not None:
        post_online_score(session, made, OnlineScore(online))
    session.flush()
    return made


def test_the_note_says_where_valid_stopped_to_rank_online(session: Session, shared_data: Path) -> None:
    """FIELD: before the leak valid ranked online, after it no more: valid 0.955 -> 0.991, online stayed 0.872."""
    assert shared_data.is_dir()
    import_table(session, "oppo", NOTE.read_text(encoding="utf-8"))
    found = study(session, contest_queries.contest(session, "oppo"))
    before, after = found.regimes
    assert [len(before.sent), len(after.sent)] == [5, 6]
    assert after.sent[0].row.name == "训练集合增强 然后划分验证集"
    assert before.agreement.ranks
    assert before.agreement.kendall == 1
    assert not after.agreement.ranks
    said = "\n".join(findings(found))
    assert "Up to “基于第三版 不完全增强语料 wa009-v8 预训练loss 1.0”: valid ranked online" in said
    assert "From “训练集合增强 然后划分验证集” on valid no longer ranks online" in said
    assert "valid went from 0.9550 to 0.9910 (+0.0360), online from 0.8720 to 0.8720 (+0.0000)" in said
    assert "the look of a leak" in said
    assert [row.name for row in found.without_valid] == ["ELECTRA+k-fold+checkpoint集成"]
    assert found.best.online == 0.885


def test_rows_on_a_line_are_read_as_noise_and_odd_ones_by_their_side(session: Session) -> None:
    odd = ["lucky | 0.925 | 0.879", "overfitted | 0.955 | 0.80", "typed | 0.935? | 0.90"]
    contest = table(session, [odd[0], *honest()[:3], odd[1], *honest()[3:], odd[2]])
    found = study(session, contest)
    (regime,) = found.regimes
    told = {item.row.name: reading(found, item) for item in regime.sent}
    assert told["row 2"] == "as expected: within noise"
    assert told["lucky"] == "better online than its valid promised: a leak of the test's answers, or luck"
    assert told["overfitted"].startswith("worse online than its valid promised: overfitted to valid, or drift")
    assert told["typed"].endswith("its scores were typed with a question mark")
    assert regime.line.slope == pytest.approx(0.8, abs=0.1)


def test_below_four_rows_there_is_no_line_and_it_is_said(session: Session, storage: Storage) -> None:
    contest = table(session, [*honest()[:3], "waits | 0.96 | "])
    found = study(session, contest)
    assert found.regimes[0].line is None
    assert found.unsent[0].expected is None
    assert "4 rows of its kind are needed" in reading(found, found.regimes[0].sent[0])
    (candidate,) = sending(session, storage, contest, found).candidates
    assert candidate.gain is None
    assert "What it will get can't be said: 4 online scores are needed for that." in reason(found, candidate)
    assert study(session, make_contest(session, "Empty")).regimes == []


def test_what_to_send_by_expected_gain(session: Session, storage: Storage) -> None:
    contest = table(session, [*honest(), "good | 0.96 | ", "bad | 0.90 | ", "middling | 0.95 | "])
    found = study(session, contest)
    asked = sending(session, storage, contest, found)
    assert [item.row.name for item in asked.candidates] == ["good", "middling", "bad"]
    good, _, bad = asked.candidates
    assert good.placed.expected.value == pytest.approx(0.868, abs=0.002)
    assert good.chance > 0.9
    assert bad.chance < 0.01
    assert any("it beats the best so far, 0.8602" in text for text in reason(found, good))
    assert any("it hardly beats the best so far" in text for text in reason(found, bad))
    settled = settling(session, found)
    assert [item.row.name for item in settled.contenders] == ["good", "middling"]
    assert settled.others == 1
    assert [item.first.name for item in settled.neighbours] == ["row 5", "row 4", "row 3", "row 2"]
    assert all(item.needed == 1 for item in settled.neighbours)
    few = sending(session, storage, contest, found, limit=1)
    assert ([item.row.name for item in few.candidates], few.total) == (["good"], 3)


def test_where_lower_is_better(session: Session, storage: Storage) -> None:
    make_contest(session, "Loss", "log_loss")
    rows = [f"| row {place} | {1 - valid:.3f} | {1 - online:.4f} |\n" for place, (valid, online) in enumerate(HONEST)]
    import_table(session, "loss", HEAD + "".join(rows) + "| good | 0.04 | |\n| bad | 0.12 | |\n| odd | 0.08 | 0.12 |\n")
    contest = contest_queries.contest(session, "loss")
    found = study(session, contest)
    assert found.best.name == "odd"
    odd = next(item for item in found.regimes[0].sent if item.row.name == "odd")
    assert reading(found, odd).startswith("better online")
    assert [item.row.name for item in sending(session, storage, contest, found).candidates] == ["good", "bad"]
    neighbours = settling(session, found).neighbours
    assert neighbours[0].first.name == "odd"
    assert all(item.ahead >= 0 for item in neighbours)
    assert all(item.on_board is None for item in neighbours)


def test_splits_stand_apart_and_a_leak_is_not_asked(session: Session, storage: Storage, contest: Contest) -> None:
    """A row with a leaking split and a far better valid is not expected to be better online."""
    for seed, (valid, online) in enumerate(HONEST):
        trained(session, storage, contest, f"honest {seed}", valid, online, seed=seed)
    row_split = {"data": {"max_length": 32, "valid_fraction": 0.2, "split_by": "row"}}
    trained(session, storage, contest, "leaks", 0.995, None, "0.1\n0.2\n", **row_split)
    trained(session, storage, contest, "fair", 0.955, None, "0.2\n0.1\n", seed=50)
    trained(session, storage, contest, "no predictions", 0.955, None, seed=51)
    found = study(session, contest)
    assert len(found.regimes) == 2
    assert any("The rows stand on 2 splits" in text for text in findings(found))
    asked = sending(session, storage, contest, found)
    assert [item.row.name for item in asked.candidates] == ["fair", "leaks"]
    assert asked.without_file == 1
    leaks = asked.candidates[1]
    assert not leaks.placed.by_line
    assert leaks.placed.expected.value == pytest.approx(0.84)  # the median of what was sent
    assert "It is marked as leaking: its valid flatters and was left out of account." in " ".join(reason(found, leaks))
    assert "Of its split 0 of the 4 rows" in " ".join(reason(found, leaks))
    assert settling(session, found).board_rows == 60
    assert "The rows of group 2 are marked as leaking: their valid flatters." in findings(found)
    post_online_score(session, session.get_one(Experiment, leaks.row.id), OnlineScore(0.85))
    said = findings(study(session, contest))
    assert any("those that were sent lie -0.046" in text and "the line of group 1" in text for text in said), said


def test_the_same_file_gains_nothing_and_a_like_one_is_named(
    session: Session, storage: Storage, contest: Contest
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(60)

    def text(values: np.ndarray) -> str:
        return "".join(f"{value!r}\n" for value in values.tolist())

    for seed, (valid, online) in enumerate(HONEST):
        trained(
            session,
            storage,
            contest,
            f"row {seed}",
            valid,
            online,
            text(scores if seed == 5 else rng.random(60)),
            seed=seed,
        )
    trained(session, storage, contest, "same", 0.97, None, text(scores), seed=20)
    trained(session, storage, contest, "alike", 0.96, None, text(scores + 1e-3 * rng.random(60)), seed=21)
    trained(session, storage, contest, "new", 0.955, None, text(rng.random(60)), seed=22)
    trained(session, storage, contest, "short", 0.93, None, "0.5\n", seed=23)
    found = study(session, contest)
    asked = {item.row.name: item for item in sending(session, storage, contest, found).candidates}
    assert list(asked) == ["alike", "new", "short", "same"]
    told = {name: " ".join(reason(found, item)) for name, item in asked.items()}
    assert "Its predictions are those of “row 5” to the byte: the board would say 0.8602 again." in told["same"]
    assert asked["same"].gain == 0
    assert "It ranks the test pairs nearly as “row 5” did" in told["alike"]
    assert "The nearest file that was sent is that of" in told["new"]
    assert asked["short"].twin is None


def test_only_rows_of_the_table_count_by_their_latest_score(session: Session, storage: Storage) -> None:
    contest = table(session, honest())
    table(session, ["row 0 | 0.90 | 0.9"])  # a later online score of the same row
    found = study(session, contest)
    assert found.best.name == "row 0"
    gone = session.get_one(Experiment, found.best.id)
    gone.archived_at = clock(session)
    session.flush()
    assert study(session, contest).best.name == "row 5"


def test_noise_of_valid_flattens_the_line(session: Session) -> None:
    contest = table(session, honest())
    assert study(session, contest).regimes[0].noise_share is None
    for score in session.query(Score).filter_by(split="valid"):
        score.low, score.high = score.value - 0.0196, score.value + 0.0196
    session.flush()
    share = 0.01**2 / np.var([valid for valid, _ in HONEST], ddof=1)
    assert study(session, contest).regimes[0].noise_share == pytest.approx(share)


def test_decimals_say_how_a_score_was_rounded() -> None:
    assert rounding([0.872, 0.87]) == 0.001
    assert rounding([0.9]) == 0.01
    assert rounding([0.884897, 0.872]) == 1e-6


def test_page_and_rest_say_it(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    empty = client.get("/contests/oppo/valid-online")
    assert "No row has a valid and an online score yet" in empty.text
    with app.state.database.writing() as session:
        table(
            session, [*honest(), "leak | 0.99 | 0.861", "on | 0.991 | 0.862", "so | 0.992 | 0.8627", "next | 0.995 | "]
        )
        table(session, [f"waits {place} | 0.9{place} | " for place in range(10, 25)])
    page = client.get("/contests/oppo/valid-online").text
    assert "From “leak” on valid" in page
    assert "data-valid-online" in page
    assert "The first 10 of 16 rows that could be sent." in page
    assert "waits 10" in client.get("/contests/oppo/valid-online?limit=16").text
    assert "Valid to online: what to send today" in client.get("/contests/oppo").text
    chinese = client.get("/contests/oppo/valid-online?limit=16", headers={"Accept-Language": "zh"}).text
    assert "从“leak”起" in chinese
    assert english_in(chinese.replace("expected improvement", "")) == []
    read = client.get("/api/v1/contests/oppo/valid-online?limit=3").json()
    assert read["groups"][1]["change"]["from"] == read["groups"][1]["sent"][0]["id"]
    assert read["groups"][0]["line"]["slope"] == pytest.approx(0.8, abs=0.05)
    assert read["send"]["total"] == 16
    assert len(read["send"]["candidates"]) == 3
    assert read["send"]["candidates"][0]["reason"]
    assert read["best"]["name"] == "so"
    assert client.get("/contests/oppo/valid-online?limit=0").status_code == 422
    assert client.get("/contests/nowhere/valid-online").status_code == 404
    assert client.get("/api/v1/contests/nowhere/valid-online").status_code == 404
