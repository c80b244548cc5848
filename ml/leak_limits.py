"""From which numbers on a split is called suspicious or leaking: all in one place, each with its reason.

A component-safe split shares no sentence, so what it must not show at all has a limit near zero. What it shows
naturally has a limit above the rate of honest splits. Measured: component-safe splits of 10% with seeds 1 to 20 of
four real files of Chinese questions (10,000 pairs of a voice assistant as text and as ids, 34,334 of a bank's
customers, 8,802 of the open web).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Shares are of the rows of the valid part."""

    #: Pairs, sentences, components and labels across an honest split: none. If a share p of valid is answered from
    #: memory, the AUC rises by at most about 2 p (1 - AUC): by 0.002 for one row in a hundred and an AUC of 0.9, as
    #: much as another seed moves it. Below that a shared row is suspicious, from there on it leaks.
    leaking_share: float = 0.01
    #: Nearly the same pair, or written otherwise: honest splits show some (a template with another name in it), and the
    #: more rows there are, the more: 0.6% of valid (at most 1.3%) of 10,000 rows, 0.9% of 30,000, 1.6% of 60,000 from
    #: the assistant, fewer in the others. Natural is therefore natural_near * (rows / 10,000) ** natural_growth;
    #: suspicious and leaking is what is surely (95%, Wilson 1927) so many times more.
    natural_near: float = 0.006
    natural_growth: float = 0.55
    near_suspicious: float = 2.0
    near_leaking: float = 4.0
    #: One shared sentence that is written otherwise: 1.2% of valid (at most 2.7%) of 10,000 rows.
    written_suspicious: float = 6.0
    written_leaking: float = 12.0
    #: Sentences of fewer tokens are never near: one token is a third of them.
    shortest_near: int = 4
    #: Longer sentences are compared by their shingles alone.
    longest_one_off: int = 64
    #: From this length on the similarity of shingles is looked at, too: one token changed leaves 0.76 of 16.
    shortest_long: int = 16
    near_jaccard: float = 0.8
    #: Drift is judged by size, and only where chance (p, rows of a component counted together) is ruled out. Length:
    #: the largest gap of the two distributions (Kolmogorov and Smirnov); honest splits showed 0.003 to 0.057, the
    #: largest with 250 rows held out.
    length_gap: float = 0.1
    #: Share of label 1: Cohen's h, 0.2 is his "small" (30% against 40%); honest splits showed 0.0003 to 0.127.
    prior_h: float = 0.2
    #: Unknown tokens: the share above what leaving components out of training shows (Good 1953);
    #: honest splits showed -0.006 to 0.004.
    vocabulary_excess: float = 0.05
    drift_p: float = 0.001

    def natural(self, rows: int) -> float:
        """The share of valid that nearly stands in training in an honest split of so many rows."""
        return self.natural_near * (rows / 10_000) ** self.natural_growth


LIMITS = Limits()
