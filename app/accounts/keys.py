"""Secrets that are drawn, and what is kept of them. Called wherever a token or session is made or recognised."""

import hashlib
import secrets
from datetime import timedelta

#: the last use of a key is written down no more often: a read should not cost a write
NOTED_EVERY = timedelta(minutes=1)
#: what an attempt's own token begins with
ATTEMPT_PREFIX = "pb-attempt"


def digest(token: str) -> str:
    """What is kept of a token. Plain SHA-256: a token has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_secret(prefix: str) -> str:
    """A fresh token; the prefix tells a person which kind it is."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"
