"""What the page of the form shows: filled from a preset, a clone, or what was posted. Called by form_pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app import forms
from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import FieldError, Refused
from app.experiments import config_json, queries
from app.experiments.models import Experiment
from app.form_reasons import clauses, reason_of, title_of, told
from app.language import N_, lookup
from app.language import gettext as _
from app.runs import queries as run_queries
from app.runs.placement import PRIORITIES, Placement, placement_of_run
from app.runs.preview import Preview
from app.runs.worker_service import WORKER_AWAY
from ml.contract.applies import idle, value_in
from ml.contract.encoder_config import SIZES
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.presets import PRESETS, preset, size_of

#: how the names of the fields begin that say when and where to run
PLACEMENT = "placement."
#: what placement calls them, for the catalogue
PRIORITY_WORDS = (N_("urgent"), N_("normal"), N_("low"))
#: fields of the page that are not the config's: their id on the page, and their title
OWN_FIELDS = {
    "name": ("f-name", N_("Name")),
    "train_file_id": ("f-train", N_("Train file")),
    "test_file_id": ("f-test", N_("Test file")),
    "unlabelled_file_id": ("f-unlabelled", N_("Unlabelled file")),
    "placement.queue": ("f-placement-queue", N_("Queue")),
    "placement.priority": ("f-placement-priority", N_("Priority")),
    "placement.max_hours": ("f-placement-max_hours", N_("Longest run")),
    "placement.max_attempts": ("f-placement-max_attempts", N_("Lost workers")),
    "placement.gpu_memory_gb": ("f-placement-gpu_memory_gb", N_("GPU memory")),
    "sweep": ("f-sweep", N_("Several values")),
    "sweep_rows": ("f-sweep-rows", N_("Rows to draw")),
    config_json.FIELD: ("f-json", "JSON"),
}


@dataclass(frozen=True)
class Problem:
    """One line of what is wrong, above the form. `place`: the id of what it is about, empty for the whole."""

    place: str
    title: str
    message: str


@dataclass(frozen=True)
class Unread:
    """A value that does not count as the form stands, and why."""

    title: str
    value: str
    reason: str


@dataclass(frozen=True)
class PreviewPage:
    """experiments/_preview.html: one of the two. Of a sweep's `rows` the first is previewed."""

    preview: Preview | None
    problems: list[Problem]
    rows: int
    unread: list[Unread]


@dataclass(frozen=True)
class FormPage:
    """experiments/form.html. `text`: the config as JSON, when that door is open; `looked`: what queueing would do, when
    it was asked for without JavaScript."""

    contest: Contest
    presets: dict[str, str]
    preset: str
    sizes: dict[str, tuple[int, ...]]
    size: str
    parent: Experiment | None
    groups: list[forms.FormGroup]
    text: str | None
    name: str
    note: str
    train_files: Sequence[ContestFile]
    test_files: Sequence[ContestFile]
    unlabelled_files: Sequence[ContestFile]
    train_file_id: int | None
    test_file_id: int | None
    unlabelled_file_id: int | None
    placement: Mapping[str, str]
    queues: Sequence[str]
    priorities: Mapping[str, int]
    errors: dict[str, str]
    problems: list[Problem]
    sweep: Mapping[str, str]
    looked: PreviewPage | None
    changed_message: str


def form_page(
    session: Session,
    contest: Contest,
    parent: Experiment | None,
    *,
    read: forms.Parsed,
    values: Mapping[str, str],
    errors: Sequence[FieldError] = (),
    text: str | None = None,
    looked: PreviewPage | None = None,
) -> FormPage:
    """`values`: the page's own fields by name; `text`: what the JSON door holds, None when the fields are shown."""
    messages = {item.field: item.message for item in errors}
    name, size = values.get("preset", ""), values.get("size", "")
    start = base_of(parent, name, size)
    groups = forms.groups(read.typed, messages, reference=start if parent else {}, start=start, unused=read.unused)
    return FormPage(
        contest=contest,
        presets={known: lookup(words) for known, words in PRESETS.items()},
        preset=name,
        sizes={size_name: tuple(numbers) for size_name, numbers in SIZES.items()},
        size=size or (size_of(name) if name in PRESETS else ""),
        parent=parent,
        groups=groups,
        text=text,
        name=values.get("name", ""),
        note=values.get("note", ""),
        train_files=contest_queries.files(session, contest.id, "train"),
        test_files=contest_queries.files(session, contest.id, "test"),
        unlabelled_files=contest_queries.files(session, contest.id, "unlabelled"),
        train_file_id=number(values.get("train_file_id")),
        test_file_id=number(values.get("test_file_id")),
        unlabelled_file_id=number(values.get("unlabelled_file_id")),
        placement={key.removeprefix(PLACEMENT): item for key, item in values.items() if key.startswith(PLACEMENT)},
        queues=_queues(session, values.get(f"{PLACEMENT}queue", "")),
        priorities=PRIORITIES,
        errors=messages,
        problems=problems_of(errors, as_text=text is not None),
        sweep={key: values.get(key, "") for key in ("sweep", "sweep_mode", "sweep_rows")},
        looked=looked,
        changed_message=forms.changed_message("{count}", "{fields}"),
    )


def base_of(parent: Experiment | None, preset_name: str, size: str) -> dict[str, Any]:
    """The config that the form was filled from: of the parent, or of the preset; empty for the defaults."""
    if parent is not None and parent.config:
        return upgrade(parent.config).model_dump(exclude={"version"})
    try:
        return preset(preset_name, size).model_dump(exclude={"version"}) if preset_name else {}
    except ValueError:  # what no link of ours asks for: the config itself is read all the same
        return {}


def problems_of(errors: Sequence[FieldError], *, as_text: bool) -> list[Problem]:
    """Each error with the place on the page that it is about."""
    found = []
    for error in errors:
        place, title = OWN_FIELDS.get(error.field, ("", ""))
        if place:
            title = _(title)
        elif error.field != "form":
            known = "." in error.field or error.field == "seed"
            place = "f-json" if as_text else f"{'f' if known else 'g'}-{error.field.replace('.', '-')}"
            title = error.field
            if not as_text:
                place, title = _known_place(error.field, place)
        message = f"{error.message} ({error.value})" if as_text and error.value else error.message
        found.append(Problem(place, title, message))
    return found


def _known_place(name: str, place: str) -> tuple[str, str]:
    """Of a config's field on the page; one that is none has no place."""
    try:
        return place, title_of(name)
    except KeyError:
        return "", name


def unread_of(config: ExperimentConfig) -> list[Unread]:
    """Values that nothing will read, although they are not the default."""
    plain = config.model_dump(mode="json")
    found = []
    for name, value in idle(config).items():
        group = name.rpartition(".")[0]
        rule = [*clauses(name), *(clauses(group) if group else ())]
        reason = reason_of(tuple(rule), lambda other: value_in(plain, other))
        found.append(Unread(title_of(name), told(forms.shown(value), switch=isinstance(value, bool)), reason))
    return found


def placement_words(session: Session, parent: Experiment | None, queue: str) -> dict[str, str]:
    """What the form shows of when and where to run: as the parent was asked to, or as usual."""
    runs = run_queries.runs_of(session, parent.id) if parent else []
    asked = placement_of_run(runs[-1]) if runs else Placement().on(queue)
    plain = asked.model_dump()
    title = next((title for title, value in PRIORITIES.items() if value == asked.priority), str(asked.priority))
    return {
        f"{PLACEMENT}{name}": "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in {**plain, "priority": title}.items()
    }


def cloned(session: Session, number_of: int | None) -> Experiment | None:
    """The experiment to be cloned. Raises Refused for one without a config."""
    parent = queries.experiment(session, number_of) if number_of is not None else None
    if parent is not None and parent.config is None:
        raise Refused(_("experiment %(id)s was trained elsewhere: it has no config to clone", id=parent.id))
    return parent


def component_safe(config: ExperimentConfig) -> ExperimentConfig:
    """The same with a split by component that keeps near twins together, and whatever augmentation it has after the
    split."""
    data = config.data.model_copy(update={"split_by": "twins"})
    augment = config.augment.model_copy(update={"augment_before_split": False})
    return config.model_copy(update={"data": data, "augment": augment})


def _queues(session: Session, chosen: str) -> list[str]:
    """The queues that workers listen on now, and the chosen one."""
    seen = run_queries.workers_seen(session, WORKER_AWAY)
    return sorted({chosen, *(name for worker in seen for name in worker.queues)} - {""})


def number(text: str | None) -> int | None:
    """An id from a form; empty is none. Raises Refused for what no select of ours sends."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(_("%(text)s is not an id", text=repr(text[:30])))
    return int(text)
