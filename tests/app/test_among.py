"""`column IN (numbers)` as one parameter, on both databases."""

import pytest
from sqlalchemy import not_, select, text
from sqlalchemy.orm import Session

from app.among import among
from app.contests.models import Contest
from tests.factories import make_contest


@pytest.fixture
def ids(session: Session) -> list[int]:
    return [make_contest(session, name).id for name in "abc"]


@pytest.mark.parametrize("chosen", [(), (0,), (0, 2), (2, 0, 2)])
def test_it_chooses_as_in_does(session: Session, ids: list[int], chosen: tuple[int, ...]) -> None:
    numbers = [ids[place] for place in chosen] + [10**9]
    plain = set(session.scalars(select(Contest.id).where(Contest.id.in_(numbers))))

    assert set(session.scalars(select(Contest.id).where(among(Contest.id, numbers)))) == plain
    others = set(session.scalars(select(Contest.id).where(not_(among(Contest.id, numbers)))))
    assert others == set(ids) - plain


def test_none_of_no_numbers(session: Session, ids: list[int]) -> None:
    assert ids
    assert session.scalars(select(Contest.id).where(among(Contest.id, []))).all() == []


def test_an_index_is_read(session: Session, ids: list[int]) -> None:
    """A Boolean would be compared with 1 on SQLite, and every row be looked at."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    if not sqlite:  # of three rows Postgres would rather read all
        session.execute(text("SET LOCAL enable_seqscan = off"))
    asked = select(Contest.id).where(among(Contest.id, ids)).compile(session.get_bind())
    values = ("[1]",) if sqlite else dict.fromkeys(asked.params, ids)
    plan = session.connection().exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' * sqlite}{asked}", values)
    told = " ".join(str(row) for row in plan)
    assert ("SEARCH contests USING INTEGER PRIMARY KEY" if sqlite else "Index Cond: (id = ANY") in told
