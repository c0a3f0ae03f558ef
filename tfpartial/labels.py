"""The label space, sets of labels as bitmasks, and candidate tables.

In: names declared in configs/. Out: indices, bitmask words, bool tables.
numpy only; everything that speaks of "which labels" goes through here.

Words: a *stored value* is the uint8 of a voxel in a record. A database has at
most 256 of them; each names the set of labels the voxel may be (its
"candidate set"). Stored value 0 is background, or *open background* where not
every label is annotated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfpartial.errors import InputError, did_you_mean, shown

BACKGROUND = "background"
MAX_LABELS = 254
BITS_PER_WORD = 64
_TO_RIGHT = {"left": "right", "l": "r", "lt": "rt", "li": "re"}
# "LeftParotid", "parotid_left", "PAROTID L", "Parotid_L": a word, or a number.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

Supervision = Literal["partial", "naive", "unlabelled"]
Balance = Literal["labels", "values"]


@dataclass(frozen=True)
class Label:
    """One structure of the label space.

    Attributes:
        name: the word used everywhere; unique.
        tg263: the AAPM TG-263 name, where one exists.
        mirror: name of the label on the other side of the body, if any.
    """

    name: str
    tg263: str | None = None
    mirror: str | None = None


@dataclass(frozen=True)
class LabelSpace:
    """The ordered labels of a project; channel 0 is background.

    Attributes:
        labels: without background; label i of this tuple has index i + 1.
    """

    labels: tuple[Label, ...]

    def __post_init__(self) -> None:
        names = [label.name for label in self.labels]
        problems = []
        if not 1 <= len(names) <= MAX_LABELS:
            problems.append(
                f"label space: expected 1 to {MAX_LABELS} labels, "
                f"found {len(names)}. Split the project."
            )
        for name in sorted({n for n in names if names.count(n) > 1}):
            problems.append(
                f"label space: expected each label once, found that label "
                f"'{name}' is listed twice. Remove one."
            )
        if BACKGROUND in names:
            problems.append(
                "label space: expected structures alone, found 'background', "
                "which is implied (index 0). Remove it."
            )
        mirrors = {label.name: label.mirror for label in self.labels}
        for name, mirror in mirrors.items():
            if mirror is not None and mirrors.get(mirror) != name:
                problems.append(
                    f"label space: expected left/right pairs that name each "
                    f"other, found that '{name}' mirrors '{mirror}', which "
                    f"does not mirror it back. Correct 'mirror'."
                )
        if problems:
            raise InputError(*problems)

    @property
    def names(self) -> tuple[str, ...]:
        """All L channel names, background first."""
        return (BACKGROUND, *(label.name for label in self.labels))

    @property
    def num_labels(self) -> int:
        """L: number of channels, background included."""
        return len(self.labels) + 1

    @property
    def num_words(self) -> int:
        """W: 64-bit words in a bitmask of this label space."""
        return -(-self.num_labels // BITS_PER_WORD)

    def index(self, name: str) -> int:
        """Return the channel of a label.

        Raises:
            InputError: the name is not in the label space.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(
                f"label '{name}' is not in the label space "
                f"({', '.join(self.names[1:])})."
                + did_you_mean(name, self.names)
            ) from None

    def vector(self, names: Iterable[str]) -> np.ndarray:
        """Return a bool vector (L,), true at each named label."""
        chosen = np.zeros(self.num_labels, bool)
        for name in names:
            chosen[self.index(name)] = True
        return chosen

    def mirror_permutation(self) -> np.ndarray:
        """Return (L,) int32: the channel each channel becomes in a mirror.

        `table[..., permutation]` is the table of the mirrored scan. The
        permutation is its own inverse.
        """
        permutation = np.arange(self.num_labels, dtype=np.int32)
        for label in self.labels:
            if label.mirror is not None:
                permutation[self.index(label.name)] = self.index(label.mirror)
        return permutation


def unpaired_sides(space: LabelSpace) -> list[tuple[str, str]]:
    """Return pairs whose names differ in the side alone and lack `mirror`.

    Example:
        kidney_left, kidney_right -> [("kidney_left", "kidney_right")];
        vertebra_L1 has no side: there is no vertebra_R1.
    """
    alone = {
        tuple(map(str.lower, _WORD.findall(label.name))): label.name
        for label in space.labels
        if label.mirror is None
    }
    pairs = []
    for words, name in alone.items():
        other = tuple(_TO_RIGHT.get(word, word) for word in words)
        if other != words and other in alone:
            pairs.append((name, alone[other]))
    return pairs


def bitmask_from_vector(vector: np.ndarray) -> np.ndarray:
    """Pack (..., L) bool into (..., W) int64 words; bit l of word l//64.

    int64 because TFRecord knows no unsigned integers: bit 63 is the sign.
    """
    vector = np.asarray(vector, bool)
    num_words = -(-vector.shape[-1] // BITS_PER_WORD)
    padding = num_words * BITS_PER_WORD - vector.shape[-1]
    widths = [(0, 0)] * (vector.ndim - 1) + [(0, padding)]
    packed = np.packbits(np.pad(vector, widths), axis=-1, bitorder="little")
    return packed.view("<i8").astype(np.int64)


def vector_from_bitmask(words: np.ndarray, num_labels: int) -> np.ndarray:
    """Unpack (..., W) int64 words into (..., L) bool.

    Raises:
        InputError: the words hold fewer bits than labels, or a bit beyond L.
    """
    words = np.ascontiguousarray(words, "<i8")
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    if bits.shape[-1] < num_labels or bits[..., num_labels:].any():
        raise InputError(
            f"expected bitmasks of {num_labels} labels, found "
            f"{shown(words.tolist())}, which does not belong to this label "
            "space. Build the records again with this config."
        )
    return bits[..., :num_labels].astype(bool)


def background_candidates(annotated: np.ndarray) -> np.ndarray:
    """Return the candidate set of stored background: {bg} + unannotated.

    Formula:
        S(0) = {background} union (Y - Y_k)          docs/equations.md

    Args:
        annotated: (..., L) bool, the labels that the case annotates.

    Returns:
        (..., L) bool.
    """
    candidates = ~np.asarray(annotated, bool)
    candidates[..., 0] = True
    return candidates


def candidate_table(
    stored_sets: np.ndarray,
    annotated: np.ndarray,
    supervision: Supervision = "partial",
) -> np.ndarray:
    """Return what each stored value may be, under one way of supervision.

    Derived from what is *declared*, never from what occurs in a patch
    (tests/traps, trap 2).

    Args:
        stored_sets: (V, L) bool, declared set of each stored value; row 0 is
            ignored (background is derived), a row of all True is "ignore".
            Under "partial" every row with background, such as "liver or
            nothing", is opened for what is not annotated, like row 0.
        annotated: (L,) bool, the labels that the case annotates.
        supervision: "partial" (Eq. 2), "naive" (background is {bg} although
            labels are missing: SL12), "unlabelled" (no information: MT).

    Returns:
        (V, L) bool, no row empty.

    Raises:
        ValueError: unknown supervision, or a stored value without labels.
    """
    table = np.array(stored_sets, bool)
    if supervision == "unlabelled":
        table[:] = True
        return table
    if supervision == "partial":
        table[0] = np.arange(table.shape[1]) == 0
        table[table[:, 0]] |= background_candidates(annotated)
    elif supervision == "naive":
        table[0] = np.arange(table.shape[1]) == 0
    else:
        raise ValueError(
            "supervision: expected partial, naive or unlabelled, received "
            f"'{supervision}'."
        )
    if not table.any(axis=1).all():
        empty = np.flatnonzero(~table.any(axis=1)).tolist()
        raise ValueError(f"stored values {empty} have no candidate label.")
    return table


def resolved_labels(
    stored_sets: np.ndarray, annotated: np.ndarray
) -> np.ndarray:
    """Return (L,) bool: annotated labels that a stored value names singly.

    Merged labels are annotated but not resolved: no voxel says which of them
    it is. Background is resolved only where every label is annotated.
    """
    sets = np.asarray(stored_sets, bool)[1:]
    single = sets[sets.sum(axis=1) == 1]
    resolved = single.any(axis=0) & np.asarray(annotated, bool)
    # A label that also occurs in a merged or partly ignored set has voxels
    # whose label is unknown: its Dice cannot be counted voxel by voxel.
    merged = sets[(sets.sum(axis=1) > 1) & ~sets.all(axis=1)]
    resolved &= ~merged.any(axis=0)
    resolved[0] = bool(np.asarray(annotated)[1:].all())
    return resolved


def pack_stored_sets(sets: Sequence[np.ndarray]) -> np.ndarray:
    """Stack stored-value sets (L,) into (V, L) bool, background as row 0.

    Raises:
        InputError: more than 256 stored values.
    """
    if len(sets) + 1 > 256:
        raise InputError(
            f"a database holds at most 256 stored values, found "
            f"{len(sets) + 1}."
        )
    num_labels = len(sets[0])
    background = np.arange(num_labels) == 0
    return np.stack([background, *sets]).astype(bool)
