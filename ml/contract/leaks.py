"""What an audit of a split is asked, and what it finds. Written by ml.leaks, shown by the app.

The titles and meanings stand here in English; a page says them in its reader's language (app/contract_words.py).
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from ml.contract.pair_file import PairFileLayout
from ml.contract.strict import MOST, Strict, Whole
from ml.contract.text_config import AugmentConfig, DataConfig

Verdict = Literal["clean", "suspicious", "leaking"]
#: of a check; `info` is told and never judged
Level = Literal["clean", "suspicious", "leaking", "info"]
Between = Literal["train and valid", "train and test", "valid and test"]
#: the report's name among a run's files
REPORT = "leaks.json"
_ORDER: dict[str, int] = {"info": 0, "clean": 0, "suspicious": 1, "leaking": 2}
VERDICTS: dict[Verdict, str] = {
    "clean": "nothing of the valid part was found in what training reads",
    "suspicious": "a little of the valid part stands in what training reads, or both differ more than by chance",
    "leaking": "so much of the valid part stands in what training reads that the valid score flatters",
}
#: check -> its title, and what it counts
CHECKS: dict[str, tuple[str, str]] = {
    "exact": ("same pair", "valid pairs that training reads as they are"),
    "swapped": ("swapped pair", "valid pairs that training reads with their sides exchanged"),
    "normalised": (
        "same pair, written otherwise",
        "valid pairs that training reads, but for case, width, spaces or punctuation",
    ),
    "near": (
        "nearly the same pair",
        "valid pairs of which training reads a twin: each side is the same, one token away, or (long sentences) shares "
        "four fifths of its shingles",
    ),
    "sentences": ("shared sentences", "valid pairs with a sentence that training reads, too"),
    "components": (
        "components cut",
        "valid pairs that hang together with training rows by shared sentences, however far",
    ),
    "closure": (
        "answer follows from training labels",
        "valid pairs whose label the training rows imply: a ~ b and b ~ c give a ~ c, a ~ b and b != c give a != c",
    ),
    "written_otherwise": (
        "shared sentences, written otherwise",
        "valid pairs with a sentence that training reads but for case, width, spaces or punctuation",
    ),
    "contradicted": (
        "contradicted by training",
        "valid pairs whose label training rows say, or imply, to be the other",
    ),
    "contradictions": ("contradictions inside training", "training pairs labelled 0 whose sentences positives connect"),
    "test_sentences": ("sentences shared with test", "test pairs with a sentence that training reads, too"),
    "test_pairs": ("pairs shared with test", "test pairs that training reads, in either order, however written"),
}
DRIFTS: dict[str, tuple[str, str]] = {
    "length": ("length", "mean tokens of a sentence; the effect is the largest gap of the two distributions"),
    "prior": ("share of label 1", "the effect is Cohen's h"),
    "vocabulary": (
        "tokens unknown to training",
        "first: the share that parts of the training's own kind would show; second: the share found",
    ),
}
#: what no count over the files can find; said beside every verdict
BLIND_SPOTS = (
    "Paraphrases: two pairs that say the same in other words look different here, however much one gives away.",
    "Pretraining: a corpus or public weights that have read the test or valid sentences are not among these files.",
    "External weights: a model that was finetuned on this data elsewhere has seen the valid rows already.",
    "People: whoever labelled, cleaned or chose rows after looking at both parts carried knowledge across.",
    "Selection: trying many settings and keeping the best on valid fits valid, without one shared sentence.",
    "Origin: rows of one user, session or day may resemble each other without sharing text; the files do not name it.",
)


class Example(Strict):
    """A valid (or test) pair, and the training pair that gives it away. Lines are counted from 1 in their files; None:
    augmentation made the row, or there is no such row."""

    line: Whole | None
    a: str
    b: str
    label: Whole | None = None
    train_line: Whole | None = None
    train_a: str = ""
    train_b: str = ""
    train_label: Whole | None = None


class Check(Strict):
    """How many rows of `of` a check found. `second`: a part of them, or another count."""

    name: str
    level: Level
    count: int = Field(ge=0, le=MOST)
    of: int = Field(ge=0, le=MOST)
    second: int | None = Field(None, ge=0, le=MOST, description="see SECONDS")
    limit: float | None = Field(None, description="the share above which it is suspicious; null: it is told only")
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float:
        """Of the rows that it looked at."""
        return self.count / self.of if self.of else 0.0


#: what `second` of a check counts
SECONDS: dict[str, str] = {
    "sentences": "with both sentences",
    "test_sentences": "with both sentences",
    "near": "with the label of the twin",
    "components": "components",
    "closure": "implied rightly",
    "exact": "with the same label",
    "swapped": "with the same label",
    "normalised": "with the same label",
}


class Drift(Strict):
    """How far two parts differ in one respect: a value of each, the size of the effect, and how likely chance alone
    makes one as large (None where it is judged by its size alone)."""

    name: str
    between: Between
    first: float
    second: float
    effect: float
    p: float | None
    level: Level


class Groups(Strict):
    """How a split that keeps near twins together joined the components of its file. `largest`: rows of the largest
    group, `largest_component`: of the largest component before."""

    components: int
    groups: int
    largest: int
    largest_component: int
    rows: int

    @property
    def giant(self) -> bool:
        """Whether near twins made a group that is too large to be held out as a part of ten."""
        return self.largest > max(self.rows / 10, self.largest_component)


class LeakReport(Strict):
    """An audit. `learnt_rows`: training rows and what augmentation made of them. `seconds`: how long it took; a run's
    file leaves it out (0), so that the same split gives the same file. `groups`: of a split by twins."""

    version: Literal[1] = 1
    verdict: Verdict
    train_rows: Whole
    learnt_rows: Whole
    valid_rows: Whole
    test_rows: Whole
    checks: tuple[Check, ...]
    drifts: tuple[Drift, ...]
    seconds: float = 0.0
    groups: Groups | None = None


class AuditFile(Strict):
    """A pair file to read."""

    path: str
    name: str
    layout: PairFileLayout


class AuditSettings(Strict):
    """How a file is divided: what `data` holds out (one part, or number `fold` of its folds), and what `augment` makes
    of the rest (or of the whole file, if that comes before the split) with `seed`."""

    data: DataConfig = Field(default_factory=DataConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    seed: int = Field(42, ge=0, le=2**31 - 1)
    fold: int = Field(0, ge=0)


class AuditAsk(AuditSettings):
    """What to audit: the split of `train`; or, with `valid`, two files as a person divided them, whatever the
    settings."""

    train: AuditFile
    valid: AuditFile | None = None
    test: AuditFile | None = None


class AuditAnswer(Strict):
    """The report, or why there can be none: of the same files and settings always the same."""

    report: LeakReport | None = None
    error: str = ""


def summary(report: LeakReport) -> tuple[Check, ...]:
    """Its checks with one example each, as an event carries them."""
    return tuple(check.model_copy(update={"examples": check.examples[:1]}) for check in report.checks)


def worst(levels: Sequence[str]) -> Verdict:
    """The verdict that these levels make together."""
    by_rank: tuple[Verdict, ...] = ("clean", "suspicious", "leaking")
    return by_rank[max((_ORDER[level] for level in levels), default=0)]


def messages() -> Iterator[str]:
    """Every text above that a page shows."""
    yield from VERDICTS.values()
    for texts in (CHECKS, DRIFTS):
        for title, meaning in texts.values():
            yield title
            yield meaning
    yield from dict.fromkeys(SECONDS.values())
    yield from BLIND_SPOTS
    yield from ("train and valid", "train and test", "valid and test")
