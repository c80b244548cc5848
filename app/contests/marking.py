"""Tokens of a text, and which of them stand in both sides of a pair: what browsers of pairs mark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MarkedPair:
    """Both sides as (text, stands in the other side, too)."""

    a: list[tuple[str, bool]]
    b: list[tuple[str, bool]]


def tokens(text: str, ids: bool) -> list[str]:
    """Ids, or characters that are not blank."""
    return text.split() if ids else [letter for letter in text if not letter.isspace()]


def marked(a: str, b: str, *, ids: bool) -> MarkedPair:
    """Neighbours that are both shared, or both not, are one piece."""
    shared = set(tokens(a, ids)) & set(tokens(b, ids))
    return MarkedPair(_pieces(a, shared, ids), _pieces(b, shared, ids))


def _pieces(text: str, shared: set[str], ids: bool) -> list[tuple[str, bool]]:
    pieces: list[tuple[str, bool]] = []
    for token in text.split() if ids else text:
        inside = pieces[-1][1] if pieces and token.isspace() else token in shared
        joint = " " if ids and pieces else ""
        if pieces and pieces[-1][1] == inside:
            pieces[-1] = (pieces[-1][0] + joint + token, inside)
        elif inside and pieces:  # the blank before a marked piece belongs to the one before
            pieces[-1] = (pieces[-1][0] + joint, False)
            pieces.append((token, True))
        else:
            pieces.append((joint + token, inside))
    return pieces


def contains(text: str, search: str, *, ids: bool) -> bool:
    """Whether the text holds what was searched: whole ids next to each other, or letters whatever their case."""
    if ids:
        return f" {' '.join(search.split())} " in f" {' '.join(text.split())} "
    return search.casefold() in text.casefold()
