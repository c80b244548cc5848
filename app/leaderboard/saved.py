"""Views of the table under a name: saving, renaming, deleting and opening them. Pages and REST call it."""

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.db import clock
from app.errors import AppError, Conflict, FieldError, NotFound, Refused
from app.language import gettext as _
from app.leaderboard import exporting, saved_queries
from app.leaderboard.models import SavedView
from app.leaderboard.queries import check_sort
from app.leaderboard.search import field_type, terms
from app.leaderboard.view import MORE, View

MOST_VIEWS = 100
NAME_LENGTH = 60
_KEPT = ("sort", "search", "against", "group", "archived")


def held(view: View) -> dict[str, Any]:
    """What is kept of a view: all but the page."""
    return {**{name: getattr(view, name) for name in _KEPT}, "show": list(view.show)}


def view_of(saved: SavedView) -> View:
    """As it was saved; columns that there are no more are left out."""
    kept = {name: saved.view[name] for name in _KEPT if name in saved.view}
    return View(**kept, show=tuple(key for key in MORE if key in saved.view.get("show", ())))


def checked_name(name: str) -> str:
    """The name without surrounding spaces. Raises Refused for an empty, long or unprintable one."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        message = _("a view's name has 1 to %(most)s printable characters, without line breaks", most=NAME_LENGTH)
        raise Refused(f"{name[:70]!r}: {message}", [FieldError("name", message, name[:70])])
    return name


def find(session: Session, contest: Contest, name: str) -> SavedView:
    """The contest's view of this name. Raises NotFound."""
    saved = saved_queries.view_named(session, contest.id, name)
    if saved is None:
        raise NotFound(
            _(
                "contest %(contest)s has no view %(name)s: somebody may have deleted or renamed it",
                contest=contest.slug,
                name=repr(name[:70]),
            )
        )
    return saved


def save(
    session: Session, contest: Contest, name: str, view: View, who: str, *, default: bool | None, overwrite: bool
) -> SavedView:
    """Keep the view under this name. `default`: None leaves it as it is. Raises Conflict when the name is taken and
    may not be overwritten, Refused for a view that can't be shown."""
    name = checked_name(name)
    _alone(session, contest)
    _require_whole(session, contest, view)
    saved, now = saved_queries.view_named(session, contest.id, name), clock(session)
    if saved is not None and not overwrite:
        message = _(
            "there is a view %(name)s, by %(who)s: tick overwrite, or choose another name",
            name=repr(name),
            who=saved.made_by,
        )
        raise Conflict(message, [FieldError("name", message, name)])
    if saved is None:
        if len(saved_queries.views_of(session, contest.id)) >= MOST_VIEWS:
            raise Conflict(_("the contest has %(most)s views already: delete one first", most=MOST_VIEWS))
        saved = SavedView(contest_id=contest.id, name=name)
        session.add(saved)
    saved.view, saved.made_by, saved.changed_at = held(view), who, now
    session.flush()
    if default is not None:
        set_default(session, contest, saved, default=default)
    return saved


def rename(session: Session, contest: Contest, saved: SavedView, name: str) -> None:
    """Raises Conflict when another view has the name."""
    name = checked_name(name)
    _alone(session, contest)
    other = saved_queries.view_named(session, contest.id, name)
    if other is not None and other.id != saved.id:
        message = _("there is a view %(name)s, by %(who)s: choose another name", name=repr(name), who=other.made_by)
        raise Conflict(message, [FieldError("name", message, name)])
    saved.name, saved.changed_at = name, clock(session)
    session.flush()


def set_default(session: Session, contest: Contest, saved: SavedView, *, default: bool) -> None:
    """What the table shows to whoever asks for nothing is this view, or no longer."""
    _alone(session, contest)
    before = saved_queries.default_of(session, contest.id)
    if before is not None and (before.id == saved.id) != default:
        before.is_default = False
        session.flush()  # there is one at a time
    if default:
        saved.is_default = True
    session.flush()


def delete(session: Session, saved: SavedView) -> None:
    """The rows that it showed stay."""
    session.delete(saved)
    session.flush()


def _alone(session: Session, contest: Contest) -> None:
    """Names and the default are looked at and changed by one at a time."""
    session.refresh(contest, with_for_update=True)


def _require_whole(session: Session, contest: Contest, view: View) -> None:
    check_sort(view.sort)
    terms(view.search)
    if view.group:
        field_type(f"group={view.group}", view.group)
    exporting.baseline(session, contest, view)


def opened(session: Session, contest: Contest, view: View) -> tuple[View, list[str]]:
    """A saved view with what is left of it, and what is gone: its baseline, or fields that this version has not."""
    gone = []
    for name in ("sort", "search", "group", "against"):
        try:
            _require_whole(session, contest, View(**{name: getattr(view, name)}))
        except AppError as error:
            gone.append(error.message)
            view = replace(view, **{name: getattr(View(), name)})
    return view, gone
