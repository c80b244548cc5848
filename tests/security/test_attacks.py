"""Every attack of the table is refused."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import drop_postgres, new_postgres
from tests.security.house import House, built
from tests.security.table import Attack, all_attacks, on_both

LEAST = 170


@contextmanager
def standing(folder: Path, url: str, local: str) -> Iterator[House]:
    made = built(folder, url, local)
    yield made
    made.app.state.database.dispose()
    made.local_app.state.database.dispose()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("attacked")
    public, local = (shutil.copy(migrated_file, folder / name) for name in ("public.db", "local.db"))
    with standing(folder, f"sqlite:///{public}", f"sqlite:///{local}") as made:
        yield made


@pytest.fixture(scope="module")
def house_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, migrated_postgres: str
) -> Iterator[House]:
    folder, url = tmp_path_factory.mktemp("attacked"), new_postgres(migrated_postgres)
    local = shutil.copy(migrated_file, folder / "local.db")
    with standing(folder, url, f"sqlite:///{local}") as made:
        yield made
    drop_postgres(url)


@pytest.mark.parametrize("attack", [pytest.param(tries, id=name) for name, tries in all_attacks().items()])
def test_an_attack_is_refused(house: House, attack: Attack) -> None:
    attack(house)


@pytest.mark.parametrize(
    "attack", [pytest.param(tries, id=name) for name, tries in all_attacks().items() if on_both(tries)]
)
def test_an_attack_is_refused_on_postgres(house_on_postgres: House, attack: Attack) -> None:
    attack(house_on_postgres)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(all_attacks()) >= LEAST
