"""What most tests of runs begin with."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.contests.models import Contest
from tests.factories import make_contest, make_file, storage_in


@pytest.fixture
def contest(session: Session, tmp_path: Path) -> Contest:
    """One with a train file."""
    made = make_contest(session)
    make_file(session, storage_in(tmp_path), made)
    return made
