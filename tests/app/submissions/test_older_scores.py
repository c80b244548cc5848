"""Scores that were posted before submissions were kept: they stay, count, and can be corrected."""

from datetime import date

from app import schema
from app.contests import queries as contest_queries
from app.db import Database
from app.experiments import queries as experiment_queries
from app.leaderboard.queries import ranked
from app.submissions import quota, service
from app.submissions.service import OnlineScore

BEFORE = "20261126_data_facts"


def test_they_go_up_and_down_with_the_tables(database_url: str) -> None:
    database = Database(database_url)
    schema.upgrade(database.write_engine, BEFORE)
    now, lies, holds = "'2026-01-01 00:00:00'", "0", "1"
    if database_url.startswith("postgres"):
        lies, holds = "false", "true"
    with database.write_engine.begin() as connection:
        for row in (
            "INSERT INTO contests (id, slug, name, metric, note, created_at) "
            f"VALUES (1, 'a', 'a', 'roc_auc', '', {now})",
            "INSERT INTO experiments (id, contest_id, name, note, verdict, origin, marks, made_by, created_at) "
            f"VALUES (1, 1, 'e', '', '', 'external', '{{}}', '', {now})",
            *(
                "INSERT INTO scores (id, experiment_id, split, metric, latest, value, text, uncertain, note, source, "
                "made_by, created_at) "
                f"VALUES ({number}, 1, 'online', 'roc_auc', {latest}, 0.{number}, '', {lies}, 'old', 'rest', '', {now})"
                for number, latest in ((7, lies), (8, holds))
            ),
        ):
            connection.exec_driver_sql(row)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        if session.get_bind().dialect.name == "postgresql":  # the numbers above were given by hand
            session.connection().exec_driver_sql("SELECT setval('scores_id_seq', 8)")
        contest = contest_queries.contest(session, "a")
        (row,) = ranked(session, contest).rows
        assert row.online is not None
        assert (row.online.value, row.online.count, row.online.board) == (0.8, 2, "")
        assert (contest.time_zone, contest.submissions_a_day, quota.of_day(session, contest).used) == ("UTC", None, 0)
        experiment = experiment_queries.experiment(session, 1)
        right, _ = service.post_online_score(session, experiment, OnlineScore(0.75, corrects=8))
        assert right.submission_id is not None
        assert quota.of_day(session, contest).used == 0
        assert quota.of_day(session, contest, date(2026, 1, 1)).used == 1
    with database.reading() as session:
        (row,) = ranked(session, contest_queries.contest(session, "a")).rows
        assert row.online is not None
        assert (row.online.value, row.online.count) == (0.75, 2)
    schema.downgrade(database.write_engine, BEFORE)
    with database.read_engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT value, note FROM scores ORDER BY id").all()
    assert [tuple(row) for row in kept] == [(0.7, "old"), (0.8, "old"), (0.75, "")]
    schema.upgrade(database.write_engine)
    database.dispose()
