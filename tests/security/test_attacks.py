"""Every attack of the table is refused."""

from collections.abc import Iterator

import pytest

from tests.security.house import House, built
from tests.security.table import Attack, all_attacks

LEAST = 60


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = built(tmp_path_factory.mktemp("attacked"))
    yield made
    made.app.state.database.dispose()
    made.local_app.state.database.dispose()


@pytest.mark.parametrize("attack", [pytest.param(tries, id=name) for name, tries in all_attacks().items()])
def test_an_attack_is_refused(house: House, attack: Attack) -> None:
    attack(house)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(all_attacks()) >= LEAST
