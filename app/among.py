"""`column IN (numbers)` with one parameter however many numbers there are: SQLAlchemy and the drivers take longer to
write a hundred parameters out than the database to find a hundred rows."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine


class _Numbers(TypeDecorator[list[int]]):
    """An array on Postgres, JSON on SQLite."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else JSON())


class _Among(FunctionElement[bool]):
    inherit_cache = True  # of no type: a Boolean would be compared with 1 on SQLite, and no index read


def among(column: Any, numbers: Collection[int]) -> ColumnElement[bool]:
    """The condition; false for every row if there are no numbers."""
    return _Among(column, bindparam(None, list(numbers), type_=_Numbers()))


@compiles(_Among)
def _array(element: _Among, compiler: Any, **how: Any) -> str:
    column, numbers = element.clauses
    return f"{compiler.process(column, **how)} = ANY ({compiler.process(numbers, **how)})"


@compiles(_Among, "sqlite")
def _json(element: _Among, compiler: Any, **how: Any) -> str:
    column, numbers = element.clauses
    left, right = (compiler.process(part, **how) for part in (column, numbers))
    return f"{left} IN (SELECT value FROM json_each({right}))"  # noqa: S608 - both are text of the compiler
