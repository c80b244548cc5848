"""The table of attacks. Each says in its name what it tries, and asserts that it is refused; test_attacks.py runs them.

Rooms whose attacks end at what the database holds or refuses are tried on either database, the others on SQLite alone.
`python -m tests.security.table` prints the names.
"""

from collections.abc import Callable
from importlib import import_module

from tests.security.house import House

Attack = Callable[[House], None]
ATTACKS: dict[str, Attack] = {}
ROOMS = (
    *("browser", "scripts", "keys", "accounts", "audit", "tokens", "guessing", "openid", "input", "files", "sealed"),
    *("predictions", "exports", "outgoing"),
)
ON_BOTH_DATABASES = {"keys", "accounts", "audit", "tokens", "guessing"}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Puts an attack on the table."""

    def put(function: Attack) -> Attack:
        assert name not in ATTACKS, name
        ATTACKS[name] = function
        return function

    return put


def all_attacks() -> dict[str, Attack]:
    """Of every room."""
    for room in ROOMS:
        import_module(f"tests.security.attacks_{room}")
    return ATTACKS


def on_both(attack: Attack) -> bool:
    """Whether it is tried on Postgres, too."""
    return attack.__module__.rpartition("attacks_")[2] in ON_BOTH_DATABASES


if __name__ == "__main__":
    from tests.security import table  # by its name, under which the rooms know it

    for number, name in enumerate(table.all_attacks(), 1):
        print(f"{number:3} {name}")
