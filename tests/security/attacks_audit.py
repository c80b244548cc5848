"""What somebody does who would rather not have done it."""

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from app.accounts import audit
from app.accounts.models import AuditEntry
from app.security import all_routes
from tests.security.house import House, refused
from tests.security.table import attack


@attack("audit log: a row changed, deleted or replaced, by the ORM and by SQL")
def by_the_orm(house: House) -> None:
    database = house.app.state.database
    with database.writing() as session:
        audit.record(session, audit.Deed("mallory", "member", "POST", "/x", "/mallory was here", 200))
        number = session.scalars(select(AuditEntry.id).where(AuditEntry.who == "mallory")).first()
    columns = ", ".join(audit.COLUMNS)
    replace = (
        f"INSERT OR REPLACE INTO audit_entries ({columns}) SELECT {columns} FROM audit_entries WHERE id = {number}"
    )
    upsert = replace.replace(" OR REPLACE", "") + " ON CONFLICT (id) DO UPDATE SET who = 'nobody'"
    statements = [
        update(AuditEntry).values(who="nobody"),
        delete(AuditEntry),
        text(upsert.replace("WHERE id", "WHERE true AND id")),
        text(replace if database.url.startswith("sqlite") else "TRUNCATE audit_entries"),
    ]
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
            session.execute(statement)
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.get_one(AuditEntry, number).who = "nobody"
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.delete(session.get_one(AuditEntry, number))
    with database.reading() as session:
        assert session.get_one(AuditEntry, number).who == "mallory"


@attack("audit log: a row changed or deleted through a route")
def by_a_route(house: House) -> None:
    routes = [(method, route.path) for route in all_routes(house.app) for method in route.methods or ()]
    assert ("GET", "/audit") in routes
    assert [item for item in routes if item[1].startswith(("/audit", "/api/v1/audit")) and item[0] != "GET"] == []
    before = house.member.get("/api/v1/audit?limit=1000").json()["entries"]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/api/v1/audit", "/api/v1/audit/1", "/audit", "/audit/1", "/api/v1/audit.csv"):
            refused(house.member.request(method, path, json={"who": "nobody"}), 404, 405)
    now = house.member.get("/api/v1/audit?limit=1000").json()["entries"]
    assert now[-len(before) :] == before[: len(now)] or now[len(now) - len(before) :] == before


@attack("audit log: read by who is no owner")
def read_by_others(house: House) -> None:
    keys = (house.token("read", "submit", "run"), house.worker, house.claimed(701)[1])
    for path in ("/api/v1/audit", "/api/v1/audit.csv", "/audit", "/audit.csv"):
        refused(house.person("viewer").get(path), 403)
        refused(house.stranger.get(path), 401, 303)
        for headers in keys:
            refused(house.stranger.get(path, headers=headers), 303, 401, 403)
