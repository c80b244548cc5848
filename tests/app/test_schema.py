"""Migrations: up, down and up again on both databases, without a difference to the models."""

import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from app import schema
from app.db import Database, clock
from app.errors import AppError
from app.experiments import service
from app.experiments.models import Experiment
from app.runs import service as run_service
from app.runs.models import Attempt, RunEvent
from ml.contract.experiment import ExperimentConfig
from tests.factories import TINY, make_contest, make_experiment, make_file, storage_in


def test_up_down_up(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(AppError, match=r"is at migration none, .* run `pairboard migrate`"):
        schema.require_head(database.write_engine)
    for _ in range(2):
        schema.upgrade(database.write_engine)
        schema.require_head(database.write_engine)
        assert schema.differences(database.write_engine) == []
        assert {"contests", "experiments", "runs", "scores"} <= set(inspect(database.write_engine).get_table_names())
        schema.downgrade(database.write_engine, "base")
        assert set(inspect(database.write_engine).get_table_names()) <= {"alembic_version"}
    database.dispose()


def test_sqlite_is_safe_for_several_processes(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with database.write_engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30000, "synchronous": 2}
    database.dispose()


def test_a_new_file_that_another_process_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    """Not yet in WAL mode: SQLite refuses to change it at once, whatever the busy timeout."""
    writer = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, lambda: writer.execute("COMMIT")).start()
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with database.write_engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    database.dispose()
    writer.close()


def test_what_runs_waited_for_survives_the_change_of_tables(database_url: str) -> None:
    """Rows of the first tables, with children that refer to them, up to the second and down again."""
    database = Database(database_url)
    schema.upgrade(database.write_engine, "20261123_first_tables")
    now, lies = "'2026-01-01 00:00:00'", "false" if database_url.startswith("postgres") else "0"
    rows = [
        f"INSERT INTO contests (id, slug, name, metric, note, created_at) VALUES (1, 'a', 'a', 'roc_auc', '', {now})",
        "INSERT INTO contest_files (id, contest_id, kind, name, sha256, size, rows, layout, layout_digest, report, "
        f"created_at) VALUES (1, 1, 'train', 'x', 'x', 1, 1, '{{}}', 'x', '{{}}', {now})",
        "INSERT INTO experiments (id, contest_id, name, note, origin, train_file_id, created_at) "
        f"VALUES (1, 1, 'e', '', 'pairboard', 1, {now})",
        *(
            "INSERT INTO runs (id, kind, fingerprint, config, train_file_id, pretrain_run_id, status, attempt, "
            "cancel_requested, reason, detail, queued_at) "
            f"VALUES ({number}, '{kind}', 'f', '{{}}', 1, {needs}, 'finished', 1, {lies}, '', '', {now})"
            for number, kind, needs in ((1, "pretrain", "NULL"), (2, "finetune", "1"))
        ),
        "INSERT INTO experiment_runs (experiment_id, run_id) VALUES (1, 1), (1, 2)",
    ]

    def read(query: str) -> list[tuple[object, ...]]:
        with database.read_engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    with database.write_engine.begin() as connection:
        for row in rows:
            connection.exec_driver_sql(row)
    schema.upgrade(database.write_engine)
    assert read("SELECT run_id, needs_run_id, role FROM run_needs") == [(2, 1, "pretrained")]
    assert len(read("SELECT * FROM experiment_runs")) == 2
    schema.downgrade(database.write_engine, "20261123_first_tables")
    assert read("SELECT id, pretrain_run_id FROM runs ORDER BY id") == [(1, None), (2, 1)]
    schema.upgrade(database.write_engine)
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET kind = 'blend' WHERE id = 2")
    with pytest.raises(AppError, match=r"nothing changed: RuntimeError: 1 rows of runs .* cannot be held by the older"):
        schema.downgrade(database.write_engine, "20261123_first_tables")
    assert len(read("SELECT * FROM run_needs")) == 1  # refused as a whole
    database.dispose()


def test_accounts_get_roles_and_tokens_scopes(database_url: str) -> None:
    """The first member becomes the owner, tokens keep what they could do; back down nobody can do more than before."""
    database = Database(database_url)
    schema.upgrade(database.write_engine, "20261126_data_facts")
    now = "'2026-01-01 00:00:00'"
    rows = [
        *(
            f"INSERT INTO members (id, name, password_hash, created_at) VALUES ({number}, 'm{number}', 'x', {now})"
            for number in (3, 2)
        ),
        "INSERT INTO tokens (id, name, digest, scope, created_at) "
        f"VALUES (1, 't', '1', 'member', {now}), (2, 't', '2', 'worker', {now})",
    ]

    def read(query: str) -> list[tuple[object, ...]]:
        with database.read_engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    with database.write_engine.begin() as connection:
        for row in rows:
            connection.exec_driver_sql(row)
    schema.upgrade(database.write_engine)
    assert read("SELECT id, role FROM members ORDER BY id") == [(2, "owner"), (3, "member")]
    assert read("SELECT id, scopes FROM tokens ORDER BY id") == [(1, "read submit run"), (2, "worker")]
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO tokens (id, name, digest, scopes, created_at) "
            f"VALUES (3, 'narrow', '3', 'read', {now}), (4, 'admin', '4', 'admin', {now})"
        )
    schema.downgrade(database.write_engine, "20261126_data_facts")
    found = read("SELECT id, scope, revoked_at IS NULL FROM tokens ORDER BY id")
    assert [(number, scope, bool(live)) for number, scope, live in found] == [
        *((1, "member", True), (2, "worker", True), (3, "member", False), (4, "member", False))
    ]
    database.dispose()


def test_families_of_older_rows_are_those_of_new_ones(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, storage_in(tmp_path), contest)
        rows = [make_experiment(session, contest, str(seed), seeded(seed))[0] for seed in (1, 2)]
        rows.append(service.create_external(session, contest, name="theirs", note=""))
        before = [row.family for row in rows]
    schema.downgrade(database.write_engine, "20261127_elsewhere")
    schema.upgrade(database.write_engine)
    with database.reading() as session:
        assert list(session.scalars(select(Experiment.family).order_by(Experiment.id))) == before
    assert before[0] == before[1]
    assert before[0] is not None
    assert before[2] is None
    database.dispose()


def test_events_that_were_thinned_out_before_are_counted(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, storage_in(tmp_path), contest)
        _, (run, *_) = make_experiment(session, contest)
        run_service.claim(session, run.id, worker="w", boot_id="boot", lease=timedelta(hours=1))
        attempt = session.scalars(select(Attempt)).one()
        attempt.stored_events = 5
        for number in (1, 5):
            session.add(RunEvent(attempt_id=attempt.id, number=number, type="log", body={}, received_at=clock(session)))
    schema.downgrade(database.write_engine, "20261128_family")
    schema.upgrade(database.write_engine)
    with database.reading() as session:
        assert session.scalar(select(Attempt.thinned_events)) == 3
    database.dispose()


def test_sqlite_knows_which_index_tells_rows_apart(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pairboard.db'}")
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, storage_in(tmp_path), contest)
        for seed in range(20):
            make_experiment(session, contest, str(seed), seeded(seed))
    database.analyze()
    database.dispose()  # what is open has read the schema before
    with database.reading() as session:
        plan = session.execute(
            text("EXPLAIN QUERY PLAN SELECT id FROM experiments WHERE contest_id=1 AND fingerprint='a'")
        )
        assert "ix_experiments_fingerprint" in str(plan.all())
    database.dispose()


def seeded(seed: int) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**TINY, "seed": seed})
