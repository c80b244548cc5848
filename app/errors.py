"""The one error type of the app, and what becomes of it: a page for people, JSON for programs.

Services raise these; main.py installs the handlers. A message holds the offending value and the way out.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a form or body. `field` is dotted: config.encoder.hidden_size."""

    field: str
    message: str
    value: str = ""


class AppError(Exception):
    """Something a person or program asked for that can't be done. 400."""

    status = 400

    def __init__(self, message: str, fields: Sequence[FieldError] = (), detail: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields = tuple(fields)
        self.detail = detail


class NotFound(AppError):
    """No such thing. 404."""

    status = 404


class Conflict(AppError):
    """It clashes with what is already there. 409."""

    status = 409


class Refused(AppError):
    """The input is understood and not acceptable. 422."""

    status = 422


class NotSignedIn(AppError):
    """Nobody is known. 401."""

    status = 401


class Forbidden(AppError):
    """Somebody is known and may not. 403."""

    status = 403


class TooLarge(AppError):
    """More bytes than are taken. 413."""

    status = 413


class TooMany(AppError):
    """More than is taken in a time: try again in `seconds`. 429, with Retry-After."""

    status = 429

    def __init__(self, message: str, seconds: float, detail: object = None) -> None:
        super().__init__(message, detail=detail)
        self.seconds = seconds


class NoRoom(AppError):
    """The disk does not take it: a program tries again later. 507."""

    status = 507


class Away(AppError):
    """Something that the app stands on does not answer: try again. 503."""

    status = 503
