"""Migrations: up, down and up again on both databases, without a difference to the models."""

import pytest
from sqlalchemy import inspect

from app import schema
from app.db import Database
from app.errors import AppError


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
