"""The page that an error becomes."""

from dataclasses import dataclass

from app.errors import FieldError


@dataclass(frozen=True)
class ErrorPage:
    """error.html."""

    status: int
    message: str
    problems: tuple[FieldError, ...]


@dataclass(frozen=True)
class DocsPage:
    """docs.html."""
