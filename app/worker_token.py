"""The token of the workers that belong to a set-up, left in a file for them. Called by up, and by cli for `setup`."""

import os

from app.accounts import queries, service
from app.db import Database
from app.errors import AppError
from app.settings import Settings


def leave_worker_token(settings: Settings, database: Database) -> bool:
    """Write a token that only the owner reads, unless a live one lies there; True if it was written."""
    file = settings.token_file
    if file.is_file():
        with database.reading() as session:
            if queries.live_token(session, service.digest(file.read_text().strip())):
                return False
    with database.writing() as session:  # a file that can't be written undoes the token
        plain = service.issue_token(session, "worker of this set-up", "worker")
        try:
            file.unlink(missing_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(plain)
        except OSError as error:
            raise AppError(f"{file} can't be written ({error.strerror}): see PAIRBOARD_WORKER_TOKEN_FILE") from error
    return True
