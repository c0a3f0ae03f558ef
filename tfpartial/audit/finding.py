"""What an audit found: one sentence each, with a kind and a rank.

In: the checks of this room. Out: `Finding`s, most striking first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# kind -> (heading, how to read it); in the order of the page.
KINDS: dict[str, tuple[str, str]] = {
    "same_scan": (
        "The same scan twice",
        "Score: correlation of fine structure after alignment, 1 is "
        "identical. What is trained on cannot be tested on.",
    ),
    "files": (
        "Files that a build would refuse",
        "Undeclared stored values, grids that disagree, damaged files. Score: "
        "how many faults.",
    ),
    "empty": (
        "Declared and never found",
        "Labels that a database declares and none of its cases contains. "
        "Score: how many cases declare it.",
    ),
    "missing": (
        "Empty where the others are not",
        "A case without any annotated voxel, or a structure that all other "
        "cases of its database contain. Score: how many others.",
    ),
    "misfit": (
        "Annotations that do not lie on their image",
        "The HU under most structures of the case are unlike those of the "
        "other cases. Score: the median over its structures of the largest "
        "robust z.",
    ),
    "orientation": (
        "Turned, flipped, or sides exchanged",
        "The structures lie to each other as in other cases only after a "
        "turn or a mirror. Score: how much nearer the other cases that "
        "brings them, in robust standard deviations.",
    ),
    "position": (
        "Patient position",
        "The couch is not on the side that the declared position puts it.",
    ),
    "outlier": (
        "Outliers",
        "One structure unlike the same structure in other cases. Score: "
        "robust z.",
    ),
    "disagreement": (
        "A trained network disagrees",
        "The network sees a structure where the reference, which annotates "
        "it, has background, or the other way round: another protocol, or an "
        "error of either. Score: ml beyond the margin.",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Attributes:
        kind: a key of `KINDS`.
        database: name.
        case: case id; "" where the whole database is meant.
        label: structure; "" where the whole case is meant.
        score: ranks findings of one kind, larger first.
        text: what was expected and found, and what it may be.
        others: "database/case" of the other scans involved.
        quantity: what was measured, where a kind has several.
    """

    kind: str
    database: str
    case: str
    label: str
    score: float
    text: str
    others: tuple[str, ...] = ()
    quantity: str = ""

    @property
    def where(self) -> str:
        """'database/case', or the database."""
        return f"{self.database}/{self.case}" if self.case else self.database


def rank_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of `KINDS`, by score within a kind."""
    order = list(KINDS)
    return sorted(
        findings, key=lambda f: (order.index(f.kind), -f.score, f.where)
    )
