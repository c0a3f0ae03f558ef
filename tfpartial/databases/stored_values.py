"""The uint8 codes of a database and the set of labels that each one names.

In: `values` of a database's config. Out: `StoredValues` (codes and sets).
A code is what a record stores; docs/equations.md says what it may mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.config.database import IGNORE, Database, Others
from tfpartial.errors import Faults, InputError, join_names
from tfpartial.labels import BACKGROUND, LabelSpace, pack_stored_sets


@dataclass(frozen=True, eq=False)
class StoredValues:
    """What a database's stored codes mean.

    Attributes:
        sets: (V, L) bool, the labels that a voxel of each code may be. Row 0
            is {background}; the row of "ignore", if any, is all True.
        code_of: declared key of `values` -> code in [0, V).
        others: code of what `values` leaves out; None: that is an error.
    """

    sets: np.ndarray
    code_of: dict[str, int]
    others: int | None = None

    @property
    def ignore_code(self) -> int | None:
        """The code without information, or None if nothing uses it."""
        rows = np.flatnonzero(self.sets.all(axis=1))
        return int(rows[0]) if rows.size else None

    def labels_of(self, key: str) -> np.ndarray:
        """Return (L,) bool: labels a key asserts; none for "ignore"."""
        labels = self.sets[self.code_of[key]].copy()
        if labels.all():
            labels[:] = False
        labels[0] = False
        return labels

    @property
    def declared_labels(self) -> np.ndarray:
        """(L,) bool: labels named by any key, singly or merged."""
        return np.any(
            [self.labels_of(key) for key in self.code_of]
            or [np.zeros_like(self.sets[0])],
            axis=0,
        )


def stored_values(database: Database, space: LabelSpace) -> StoredValues:
    """Number the distinct label sets of `values` in order of declaration.

    Two keys with the same set share a code; 'background' is code 0; 'ignore'
    is a set of all labels, appended also where only a field of view or
    `others` needs it.

    Formula (what `others` adds; Y_k the labels that `values` names):
        background: {bg};  ignore: Y;  not_annotated: {bg} union (Y - Y_k)

    Args:
        database: its `values`, `others` and `field_of_view` are read.
        space: the label space, L channels.

    Returns:
        StoredValues with V <= 256 rows.

    Raises:
        InputError: an unknown label, an empty list, 'ignore' inside a list,
            or more than 256 distinct sets.

    Example:
        values {1: liver, 2: [kidney_l, kidney_r], 3: liver, 9: ignore}
        -> codes {1: 1, 2: 2, 3: 1, 9: 3}, V = 4
    """
    sets: list[np.ndarray] = []
    code_of: dict[str, int] = {}
    background = space.vector([BACKGROUND])
    with Faults() as faults:
        for key, target in database.values.items():
            try:
                chosen = _label_set(database, key, target, space)
            except InputError as error:
                faults.add(error)
                continue
            code_of[key] = _code(chosen, background, sets)
        others = None
        if database.others is not None:
            chosen = _others_set(database.others, sets, background)
            others = _code(chosen, background, sets)
        if database.field_of_view is not None:
            _code(np.ones(space.num_labels, bool), background, sets)
    packed = pack_stored_sets(sets) if sets else background[None]
    return StoredValues(packed, code_of, others)


def _others_set(
    others: Others, sets: Sequence[np.ndarray], background: np.ndarray
) -> np.ndarray:
    """Return the (L,) bool set of what `values`, with these sets, leaves out.

    "not_annotated" is open background: a structure that nobody named may be
    any label but those that the database does name.
    """
    if others == "background":
        return background
    if others == "ignore":
        return np.ones_like(background)
    chosen = np.ones_like(background)
    for labels in sets:
        chosen &= ~labels | labels.all()
    return chosen | background


def _label_set(
    database: Database,
    key: str,
    target: str | list[str],
    space: LabelSpace,
) -> np.ndarray:
    """Return the (L,) bool set of one declared target."""
    if target == IGNORE:
        return np.ones(space.num_labels, bool)
    names = [target] if isinstance(target, str) else target
    where = f"database '{database.name}': values '{key}'"
    if not names:
        raise InputError(
            f"{where}: expected a label, a list of labels, 'ignore' or "
            f"'background', found an empty list."
        )
    if IGNORE in names:
        raise InputError(
            f"{where}: expected 'ignore' alone (it means any label), found it "
            f"in the list {names}. Write 'ignore', or the labels only."
        )
    try:
        return space.vector(names)
    except InputError as error:
        raise InputError(*(f"{where}: {f}" for f in error.faults)) from None


def _code(
    chosen: np.ndarray, background: np.ndarray, sets: list[np.ndarray]
) -> int:
    """Return the code of a set, which is appended if it is new."""
    if np.array_equal(chosen, background):
        return 0
    for position, known in enumerate(sets):
        if np.array_equal(chosen, known):
            return position + 1
    sets.append(chosen)
    return len(sets)


def annotated_labels(
    database: Database, stored: StoredValues, space: LabelSpace
) -> np.ndarray:
    """Return (L,) bool: what the database's protocol annotates.

    Default: the union of all declared sets (decision 1), which
    "ignore" does not enlarge. Column 0 (background) is always true.

    Raises:
        InputError: `annotated` and `values` contradict each other.
    """
    declared = stored.declared_labels
    if database.annotated is None:
        annotated = declared.copy()
    else:
        annotated = space.vector(database.annotated)
    annotated[0] = True
    listed = annotated.copy()
    with Faults() as faults:
        for case_id, override in database.cases.items():
            names = space.vector(override.annotated or [])
            listed |= names
            _refuse_without_value(
                names & ~declared, f"cases.{case_id}.", database, space, faults
            )
        _refuse_without_value(
            annotated & ~declared, "", database, space, faults
        )
        for index in np.flatnonzero(declared & ~listed):
            faults.add(
                f"database '{database.name}': 'values' declares "
                f"'{space.names[index]}', which 'annotated' does not list. "
                f"Add it there, or map its value to 'ignore'."
            )
    return annotated


def _refuse_without_value(
    labels: np.ndarray,
    where: str,
    database: Database,
    space: LabelSpace,
    faults: Faults,
) -> None:
    """Add a fault for each label (L,) bool that has no value."""
    for index in np.flatnonzero(labels[1:]) + 1:
        faults.add(
            f"database '{database.name}': '{where}annotated' lists "
            f"'{space.names[index]}', which no entry of 'values' names. "
            f"Declare its stored value, or remove it from '{where}annotated': "
            f"else every background voxel would be taught not to be it."
        )


def check_declared_labels_occur(
    database: Database, space: LabelSpace, counts: Sequence[int] | np.ndarray
) -> None:
    """Refuse a database none of whose cases contains a declared label.

    A label occurs if a voxel has a code whose set holds it (a merged set
    counts for each of its labels; "ignore" for none).

    Args:
        database: as declared.
        space: the label space.
        counts: (V,) voxels of each code, summed over *all* cases.

    Raises:
        InputError: names every such label and the keys that declare it.
        ValueError: `counts` does not have V entries.
    """
    stored = stored_values(database, space)
    counts = np.asarray(counts)
    if counts.shape != (len(stored.sets),):
        raise ValueError(
            f"counts: expected shape ({len(stored.sets)},), one per stored "
            f"value, received {counts.shape}."
        )
    informative = ~stored.sets.all(axis=1)
    seen = stored.sets[(counts > 0) & informative].any(axis=0)
    with Faults() as faults:
        for index in np.flatnonzero(stored.declared_labels & ~seen):
            keys = [
                key for key in stored.code_of if stored.labels_of(key)[index]
            ]
            faults.add(
                f"database '{database.name}' ({database.path}): expected "
                f"voxels of the declared label '{space.names[index]}' (values "
                f"{join_names(keys)}), found none in any case. Correct its "
                f"stored value or file name under 'values', or remove it."
            )
