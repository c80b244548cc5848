"""A migrated Postgres database that many tests use one after the other: emptied in milliseconds, where dropping it and
making the next one takes half a second."""

from collections.abc import Callable

import psycopg

#: what stays: the name of the newest migration
_KEPT = "alembic_version"
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
#: every column, index, trigger and constraint, as one number
_SHAPE = """
SELECT md5(string_agg(part, ';' ORDER BY part)) FROM (
  SELECT format('%s %s %s %s', c.relname, c.relkind, a.attname, a.atttypid) AS part
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace
  UNION ALL SELECT format('trigger %s %s', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT format('constraint %s %s', conrelid::regclass, conname) FROM pg_constraint
  WHERE connamespace = 'public'::regnamespace) AS parts
"""


class Emptied:
    """Of one test process. `make` makes a migrated database and returns its URL, `drop` drops one."""

    def __init__(self, make: Callable[[], str], drop: Callable[[str], None]) -> None:
        self._make, self._drop = make, drop
        self.url = ""
        self._like_new: tuple[object, ...] = ()

    def lent(self) -> str:
        """The URL, of a database that is as if it were new."""
        if self.url and not self._empty():
            self.close()
        if not self.url:
            self.url = self._make()
            with psycopg.connect(self.url) as connection:
                self._like_new = self._seen(connection)
        return self.url

    def close(self) -> None:
        """Drop it."""
        if self.url:
            self._drop(self.url)
        self.url = ""

    def _empty(self) -> bool:
        """Take every row out, whoever still looks; false if a test left something that is no row."""
        with psycopg.connect(self.url) as connection:
            connection.execute(_OTHERS)
            connection.execute("SET session_replication_role = replica")  # no trigger keeps a row
            names = [name for (name,) in connection.execute(_TABLES) if name != _KEPT]
            filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM \"{name}\")" for name in names)
            for (name,) in connection.execute(filled).fetchall():
                connection.execute(f'DELETE FROM "{name}"')
            used = "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"
            for (name,) in connection.execute(used).fetchall():
                connection.execute(f'ALTER SEQUENCE "{name}" RESTART')
            return self._seen(connection) == self._like_new

    @staticmethod
    def _seen(connection: psycopg.Connection) -> tuple[object, ...]:
        shape = connection.execute(_SHAPE).fetchone()
        return (shape, connection.execute(f"SELECT * FROM {_KEPT}").fetchall())
