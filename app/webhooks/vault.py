"""How the secrets of webhooks lie in the database: encrypted under a key that is drawn from PAIRBOARD_SECRET.

Who has a copy of the database, a backup or a dump, does not have what signs. Without PAIRBOARD_SECRET, on loopback,
they lie there as they are, and are encrypted once there is one. Called by service, pages, postman and a migration.
"""

import base64
from functools import lru_cache
from typing import TYPE_CHECKING

from app.errors import Conflict
from app.language import gettext as _
from app.webhooks.sending import PREFIX

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

#: other keys of the same secret are drawn with other words
_PURPOSE = b"pairboard webhook secrets 1"


def sealed(plain: str, secret: str) -> str:
    """As it is kept; without a secret as it is."""
    return _box(secret).encrypt(plain.encode()).decode() if secret else plain


def opened(kept: str, secret: str) -> str:
    """The secret that signs. Raises Conflict when it was encrypted under another PAIRBOARD_SECRET."""
    if is_plain(kept):
        return kept
    if secret:
        from cryptography.fernet import InvalidToken

        try:
            return _box(secret).decrypt(kept.encode()).decode()
        except InvalidToken:
            pass
    raise Conflict(
        _(
            "the secret of this webhook was encrypted under another PAIRBOARD_SECRET: make a new one, or put that one "
            "back"
        )
    )


def is_plain(kept: str) -> bool:
    """Whether it lies there as it is."""
    return kept.startswith(PREFIX)


def is_readable(kept: str, secret: str) -> bool:
    """Whether it can still sign."""
    try:
        opened(kept, secret)
    except Conflict:
        return False
    return True


@lru_cache(maxsize=4)
def _box(secret: str) -> "Fernet":
    """Fernet is AES with an HMAC; PAIRBOARD_SECRET is 32 characters and more, so HKDF does and nothing need be slow."""
    from cryptography.fernet import Fernet  # here: most processes never sign
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(key))
