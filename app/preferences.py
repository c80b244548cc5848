"""The theme of a browser's pages, kept in a cookie that the server reads, so that the first paint is right."""

from typing import Literal

from fastapi import Request

from app.language import N_

Theme = Literal["system", "light", "dark"]
#: in the order in which the switch goes round
THEMES: dict[Theme, str] = {"system": N_("as the system"), "light": N_("light"), "dark": N_("dark")}
THEME_COOKIE = "pairboard_theme"


def theme_of(request: Request) -> Theme:
    """The theme that this browser chose; as the system's when it did not, or the cookie holds something else."""
    chosen = request.cookies.get(THEME_COOKIE)
    return next((theme for theme in THEMES if theme == chosen), "system")


def next_theme(theme: Theme) -> Theme:
    """The one that the switch leads to."""
    order = list(THEMES)
    return order[(order.index(theme) + 1) % len(order)]
