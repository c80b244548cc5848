"""What a reader asked of the table: order, search, more columns, a row to compare with, a page. It stands in the
address, so that a view can be kept as a bookmark and sent to others; downloads take the same address."""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from app.language import N_

PAGE_SIZE = 100
#: columns beside train, valid and online: key -> (title, what it says)
MORE = {
    "gap": (N_("gap"), N_("train minus valid: how much it has learnt by heart")),
    "deviation": (N_("folds"), N_("mean and standard deviation of what each fold or member scored on valid by itself")),
    "hours": (N_("hours"), N_("of workers, over all attempts of its runs; a shared pretrain counts in each row")),
    "checks": (
        N_("checks"),
        N_(
            "what speaks for a row: its model reloads, exchanged sides, same data and code as others, spread over seeds"
        ),
    ),
    "by": (N_("by"), N_("who asked for it: a member, a token, or local")),
    "made": (N_("made"), N_("when it was queued")),
}
#: the column's key in an order, where it is another
SORTED_AS = {"made": "created"}


@dataclass(frozen=True)
class View:
    """`sort`: keys divided by commas, `-` before one for descending. `against`: number of the baseline. `archived`: the
    rows of the archive, not of the table. `group`: field of the config by which the found rows are summed up.
    `lenient`: it was saved a while ago, so what of it is gone is said and left out."""

    sort: str = ""
    search: str = ""
    show: tuple[str, ...] = ()
    against: int | None = None
    archived: bool = False
    group: str = ""
    offset: int = 0
    limit: int = PAGE_SIZE
    lenient: bool = False

    def query(self, **changes: Any) -> str:
        """As the query of an address, with changes; what is as by default is left out."""
        view, plain = replace(self, **changes), View()
        values = {name: getattr(view, name) for name in ("sort", "search", "show", "against", "group", "offset")}
        values["show"] = ",".join(view.show)
        values["archived"] = "true" if view.archived else ""
        return urlencode({name: value for name, value in values.items() if value not in {getattr(plain, name), ""}})

    def address(self, **changes: Any) -> str:
        """The query with its question mark. One that asks for nothing says so: the bare address is the default view."""
        return f"?{self.query(**changes) or 'all'}"

    def same(self, other: "View") -> bool:
        """Whether both show the same, whatever the page."""
        return replace(self, offset=0, limit=PAGE_SIZE, lenient=False) == replace(
            other, offset=0, limit=PAGE_SIZE, lenient=False
        )

    def order(self, key: str) -> str:
        """`ascending`, `descending`, or `none`: how the table is sorted by this column first."""
        first = self.sort.split(",")[0]
        return "descending" if first == f"-{key}" else "ascending" if first == key else "none"

    def sorted_by(self, key: str) -> str:
        """The address with this column first: descending, then at a second click ascending."""
        return self.address(sort=key if self.order(key) == "descending" else f"-{key}", offset=0)
