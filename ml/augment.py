"""More labelled pairs from the ones there are. Called by prepare, inside the training part (or, to show the leak,
before the split).

Sentences are nodes. Positives join them to components (union-find, Tarjan 1975): a ~ b, b ~ c give a ~ c. A negative
between two components holds for all of their pairs: a ~ b, b != c give a != c. A component that holds a negative
contradicts itself; it is reported and never multiplied.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ml.contract.experiment import AugmentConfig
from ml.errors import RunError
from ml.pairs import Pairs, plain
from ml.seeds import numpy_stream

Nodes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A pair with label 0 whose ends are joined by positives, or a pair that stands with both labels."""

    a: str
    b: str
    kind: str  # "negative inside positives" or "both labels"


@dataclass(frozen=True, slots=True)
class Augmented:
    """The rows handed in, then the new ones; how many of each kind are new; what contradicts itself."""

    pairs: Pairs
    positives: int
    negatives: int
    topped_up: int
    swapped: int
    capped_components: int
    contradictions: list[Contradiction]

    @property
    def report(self) -> dict[str, object]:
        """Plain values for augment.json: counts, and every contradiction."""
        return {
            "rows": len(self.pairs),
            "new_positives": self.positives,
            "new_negatives": self.negatives,
            "turned_copies_to_keep_the_ratio": self.topped_up,
            "swapped_copies": self.swapped,
            "components_cut_by_the_cap": self.capped_components,
            "contradictions": [{"a": c.a, "b": c.b, "kind": c.kind} for c in self.contradictions],
        }


def augment(pairs: Pairs, config: AugmentConfig, seed: int) -> Augmented:
    """`pairs` and what `config` makes of them, in seeded order. `pairs` is not changed.

    Raises RunError for pairs without labels. Time and memory grow with the rows and the cap, not with the squares of
    the components.
    """
    if len(pairs.labels_N) != len(pairs):
        raise RunError(f"{len(pairs)} rows with {len(pairs.labels_N)} labels cannot be augmented: labels are needed")
    graph = _Graph(pairs)
    random = numpy_stream(seed, "augment")
    known = _Known(graph)
    positives, cut = _close_positives(graph, config, known, random) if config.closure_positives else ([], 0)
    negatives, more = _carry_negatives(graph, config, known, random) if config.closure_negatives else ([], 0)
    made = [[(graph.texts[x], graph.texts[y]) for x, y in new] for new in (negatives, positives)]
    closed = len(positives), len(negatives)
    topped_up = 0
    if config.keep_class_ratio:
        made, topped_up = _keep_ratio(pairs, made, random)
    new = [*made[1], *made[0]]
    a, b = pairs.a + [one for one, _ in new], pairs.b + [other for _, other in new]
    labels_N = np.concatenate([pairs.labels_N, np.ones(len(made[1]), np.int8), np.zeros(len(made[0]), np.int8)]).astype(
        np.int8
    )
    swapped = 0
    if config.swap == "copies":
        swapped = len(a)
        a, b = a + b, b + a
        labels_N = np.concatenate([labels_N, labels_N])
    return Augmented(Pairs(a, b, labels_N), *closed, topped_up, swapped, cut + more, graph.contradictions())


class _Graph:
    """Sentences as nodes, and the components that the positives make of them."""

    def __init__(self, pairs: Pairs) -> None:
        node_of: dict[str, int] = {}
        self.texts: list[str] = []
        ends = []
        for side in (pairs.a, pairs.b):
            nodes = np.empty(len(pairs), np.int64)
            for row, text in enumerate(side):
                node = node_of.setdefault(plain(text), len(node_of))
                if node == len(self.texts):
                    self.texts.append(text)
                nodes[row] = node
            ends.append(nodes)
        self.pairs = pairs
        self.low_N, self.high_N = np.minimum(*ends), np.maximum(*ends)
        positive_N = pairs.labels_N == 1
        size = len(self.texts)
        edges = coo_array(
            (np.ones(int(positive_N.sum()), np.int8), (self.low_N[positive_N], self.high_N[positive_N])),
            shape=(size, size),
        )
        self.count, component = connected_components(edges, directed=False)
        self.component_of: Nodes = component.astype(np.int64)
        inside_N = ~positive_N & (self.component_of[self.low_N] == self.component_of[self.high_N])
        self._contradicted_N = inside_N & (self.low_N != self.high_N)
        self.bad_C = np.zeros(self.count, dtype=bool)
        self.bad_C[self.component_of[self.low_N[inside_N]]] = True
        order = np.argsort(self.component_of, kind="stable")
        self._members = np.split(order, np.cumsum(np.bincount(self.component_of, minlength=self.count))[:-1])

    def members(self, component: int) -> Nodes:
        """Nodes of a component, ascending."""
        return self._members[component]

    def contradictions(self) -> list[Contradiction]:
        """Each contradictory pair once, in file order."""
        if not self._contradicted_N.any():
            return []
        positive = set(
            zip(
                self.low_N[self.pairs.labels_N == 1].tolist(),
                self.high_N[self.pairs.labels_N == 1].tolist(),
                strict=True,
            )
        )
        found: dict[tuple[int, int], Contradiction] = {}
        for row in np.flatnonzero(self._contradicted_N).tolist():
            ends = (int(self.low_N[row]), int(self.high_N[row]))
            kind = "both labels" if ends in positive else "negative inside positives"
            found.setdefault(ends, Contradiction(self.pairs.a[row], self.pairs.b[row], kind))
        return list(found.values())


class _Known:
    """Pairs of nodes that there are already: as whole numbers, of which a set of ten million takes a third of the
    memory that tuples take, and none of the garbage collector's time."""

    def __init__(self, graph: _Graph) -> None:
        self._nodes = len(graph.texts)
        self._numbers = set((graph.low_N * self._nodes + graph.high_N).tolist())

    def __contains__(self, pair: tuple[int, int]) -> bool:
        return pair[0] * self._nodes + pair[1] in self._numbers

    def add(self, pair: tuple[int, int]) -> None:
        """One more; its smaller node first."""
        self._numbers.add(pair[0] * self._nodes + pair[1])


def _close_positives(
    graph: _Graph, config: AugmentConfig, known: _Known, random: np.random.Generator
) -> tuple[list[tuple[int, int]], int]:
    """New pairs inside each component without a contradiction, and how many components the cap cut."""
    made: list[tuple[int, int]] = []
    cut = 0
    sizes_C = np.bincount(graph.component_of, minlength=graph.count)
    for component in np.flatnonzero((sizes_C > 2) & ~graph.bad_C).tolist():
        nodes = graph.members(component)
        wanted = len(nodes) * (len(nodes) - 1) // 2
        new, capped = _draw(nodes, nodes, wanted, config.max_per_component, known, random)
        made += new
        cut += capped
    return made, cut


def _carry_negatives(
    graph: _Graph, config: AugmentConfig, known: _Known, random: np.random.Generator
) -> tuple[list[tuple[int, int]], int]:
    """New negatives between components that a negative joins; none through a component that contradicts itself."""
    negative_N = graph.pairs.labels_N == 0
    left, right = graph.component_of[graph.low_N[negative_N]], graph.component_of[graph.high_N[negative_N]]
    good = (left != right) & ~graph.bad_C[left] & ~graph.bad_C[right]
    joined = np.unique(np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)[good], axis=0)
    made: list[tuple[int, int]] = []
    cut = 0
    for one, other in joined.tolist():
        nodes, others = graph.members(one), graph.members(other)
        if len(nodes) * len(others) > 1:
            new, capped = _draw(nodes, others, len(nodes) * len(others), config.max_per_component, known, random)
            made += new
            cut += capped
    return made, cut


def _draw(
    nodes: Nodes,
    others: Nodes,
    possible: int,
    cap: int,
    known: _Known,
    random: np.random.Generator,
) -> tuple[list[tuple[int, int]], bool]:
    """At most `cap` pairs that are not `known` (they are then), and whether the cap left some out."""
    if possible <= 4 * cap:
        x, y = (
            np.triu_indices(len(nodes), 1) if nodes is others else np.indices((len(nodes), len(others))).reshape(2, -1)
        )
        order = random.permutation(len(x))
        x, y = x[order], y[order]
    else:  # a giant: draws with some to spare instead of listing the square
        x, y = random.integers(len(nodes), size=4 * cap), random.integers(len(others), size=4 * cap)
    made: list[tuple[int, int]] = []
    for one, other in zip(nodes[x].tolist(), others[y].tolist(), strict=True):
        pair = (min(one, other), max(one, other))
        if one == other or pair in known:
            continue
        if len(made) == cap:
            return made, True
        known.add(pair)
        made.append(pair)
    return made, possible > 4 * cap


Made = list[list[tuple[str, str]]]  # new pairs of label 0, new pairs of label 1


def _keep_ratio(pairs: Pairs, made: Made, random: np.random.Generator) -> tuple[Made, int]:
    """New rows in the file's share of positives, and how many turned copies that took.

    The label with too few new pairs is topped up with rows of the file turned round; what the other has too many even
    then is dropped at random.
    """
    share = float(np.mean(pairs.labels_N == 1))
    if share in (0.0, 1.0):
        return made, 0
    odds = ((1 - share) / share, share / (1 - share))  # pairs of label 0 for one of label 1, and the other way round
    kept, copies = [list(new) for new in made], 0
    for label in (0, 1):
        lacking = round(len(made[1 - label]) * odds[label]) - len(made[label])
        if lacking > 0:
            rows = random.permutation(np.flatnonzero(pairs.labels_N == label))[:lacking].tolist()
            kept[label] += [(pairs.b[row], pairs.a[row]) for row in rows]
            copies += len(rows)
    for label in (0, 1):
        most = round(len(kept[1 - label]) * odds[label])
        if len(kept[label]) > most:
            chosen = np.sort(random.permutation(len(kept[label]))[:most]).tolist()
            kept[label] = [kept[label][number] for number in chosen]
    return kept, copies
