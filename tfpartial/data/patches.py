"""Where training patches come from: (seed, step, row) -> place -> voxels.

In: the record stores of the databases. Out: numpy arrays of one patch.
numpy only; every draw of a row comes from one counter-based generator.

One row is drawn in five choices:

1. a database, in proportion to its weight;
2. one of its training cases, uniformly;
3. with probability `label_share` a stored value, uniformly among those that
   name annotated foreground labels *and occur* in the case (an absent label's
   share goes to the others; a merged structure is one candidate; ignore is
   none), else the body. Where the supervision is "naive", every foreground
   value counts, pseudo-labels too: they are taken for labels there. Always
   the body where it is "unlabelled": there the labels must not leak into the
   choice of patches. With balance "values" stored background is one more of
   these values, with the same share as each of them (DeepMedic's sampling);
4. a block of the case, in proportion to its voxels of that kind, then one of
   these voxels, uniformly: together a uniform voxel of the whole scan;
5. the patch is centred on the voxel, moved by up to a quarter of the patch
   per axis (the voxel stays inside; with balance "values" a patch drawn by a
   value is not moved), and clamped into the scan.

A body draw is, with probability `ANYWHERE_SHARE`, uniform over all positions
of the patch in the scan instead, so that every position can be drawn, patches
that hold nothing but air included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfpartial.data.patch_box import clamp_start
from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.labels import Balance, Supervision

if TYPE_CHECKING:
    from tfpartial.records.store import RecordStore

ANYWHERE_SHARE = 0.02
_WORD = 2**64


@dataclass(frozen=True)
class Place:
    """Where the patch of one row lies.

    Attributes:
        database: name of the database.
        case_number: number of the case in its store.
        stored_value: of the voxel that drew the patch; None: a body voxel, or
            no voxel at all.
        voxel: (3,) int64, that voxel in the scan's grid; None: anywhere.
        start: (3,) int64, first voxel of the labels patch in the scan's grid;
            negative where the scan is smaller than the patch.
    """

    database: str
    case_number: int
    stored_value: int | None
    voxel: np.ndarray | None
    start: np.ndarray


@dataclass(frozen=True)
class _DrawTable:
    """What is drawn from one case.

    Attributes:
        scan_shape: (3,) int64.
        records: (N,) int64, the numbers of its N blocks.
        values: stored values a patch may be centred on.
        cumulative: (len(values), N) int64, voxels up to and with each block.
        cumulative_body: (N,) int64.
    """

    scan_shape: np.ndarray
    records: np.ndarray
    values: np.ndarray
    cumulative: np.ndarray
    cumulative_body: np.ndarray


def row_generator(seed: int, step: int, row: int) -> np.random.Generator:
    """Return the generator of one row: a Philox stream of its own.

    The seed is the key, step and row are the upper words of the counter: no
    two rows ever share a number, and no state is carried between rows.
    """
    # Explicit words: numpy turns a list with a large integer into floats.
    key = np.array([seed % _WORD, 0], np.uint64)
    counter = np.array([0, 0, row, step], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class PatchSampler:
    """Draws the place of each row's patch.

    Args:
        stores: database -> its record store.
        supervision: database -> "partial" (default), "naive", "unlabelled".
        weights: database -> relative share of the patches; default 1.
        label_share: share of the patches drawn by a stored value.
        balance: which values share them equally: annotated "labels", or all
            "values", stored background too.
        patch_shape: (3,) voxels of the labels patch.
        seed: of the run.

    Raises:
        InputError: a weight for a database that is not there, weights that
            are negative or all 0, a database without training cases.
    """

    def __init__(
        self,
        stores: Mapping[str, RecordStore],
        *,
        supervision: Mapping[str, Supervision],
        weights: Mapping[str, float],
        label_share: float,
        patch_shape: Sequence[int],
        seed: int,
        balance: Balance = "labels",
    ) -> None:
        self._stores = dict(stores)
        self._names = sorted(stores)
        self._label_share = label_share
        self._balance = balance
        self._patch_shape = np.asarray(patch_shape, np.int64)
        self._seed = seed
        self._unlabelled = {
            name
            for name in self._names
            if supervision.get(name) == "unlabelled"
        }
        self._shares = _cumulative_shares(self._names, weights)
        self._cases = {n: _training_cases(n, stores[n]) for n in self._names}
        self._tables: dict[tuple[str, int], _DrawTable] = {
            (name, number): _draw_table(
                stores[name],
                number,
                supervision.get(name, "partial"),
                balance,
            )
            for name, numbers in self._cases.items()
            for number in numbers
        }

    def draw(self, step: int, row: int) -> Place:
        """Return the place of one row of one step; the same every time."""
        random = row_generator(self._seed, step, row)
        which = np.searchsorted(self._shares, random.random(), side="right")
        name = self._names[which]
        cases = self._cases[name]
        number = int(cases[random.integers(len(cases))])
        table = self._tables[name, number]
        on_label = random.random() < self._label_share
        if on_label and len(table.values) and name not in self._unlabelled:
            choice = random.integers(len(table.values))
            value: int | None = int(table.values[choice])
            counts = table.cumulative[choice]
        else:
            value, counts = None, table.cumulative_body
            if not counts[-1] or random.random() < ANYWHERE_SHARE:
                return self._anywhere(name, number, table, random)
        voxel = self._voxel(name, table.records, counts, value, random)
        centre = voxel
        if value is None or self._balance == "labels":
            reach = self._patch_shape // 4
            centre = voxel + random.integers(-reach, reach + 1)
        start = clamp_start(centre, table.scan_shape, self._patch_shape)
        return Place(name, number, value, voxel, start)

    def _voxel(
        self,
        name: str,
        records: np.ndarray,
        counts: np.ndarray,
        value: int | None,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Return (3,) int64: a uniform voxel of a stored value or the body."""
        store = self._stores[name]
        block = np.searchsorted(
            counts, random.integers(counts[-1]), side="right"
        )
        record = int(records[block])
        image, labels = store.read_block(record)
        if value is None:
            wanted = image > store.body_threshold_hu
        else:
            wanted = labels == value
        voxels = np.flatnonzero(wanted)
        if not voxels.size:
            raise InputError(
                f"database '{name}', record {record}: the index counts voxels "
                f"of {'the body' if value is None else f'value {value}'} that "
                "the block does not hold. Build the records again."
            )
        inside = np.unravel_index(
            voxels[random.integers(voxels.size)], wanted.shape
        )
        return np.asarray(store.position[record], np.int64) + inside

    def _anywhere(
        self,
        name: str,
        number: int,
        table: _DrawTable,
        random: np.random.Generator,
    ) -> Place:
        """Return a place uniform over all positions inside the scan."""
        room = (table.scan_shape - self._patch_shape).clip(0)
        centre = random.integers(0, room + 1) + self._patch_shape // 2
        start = clamp_start(centre, table.scan_shape, self._patch_shape)
        return Place(name, number, None, None, start)


def _cumulative_shares(
    names: Sequence[str], weights: Mapping[str, float]
) -> np.ndarray:
    """Return (len(names),) float64 ending in exactly 1."""
    with Faults() as faults:
        if not names:
            faults.add("training needs the records of at least one database.")
        # A weight of 0 may name a database whose records were not opened.
        used = {name for name, weight in weights.items() if weight}
        for name in sorted(used - set(names)):
            faults.add(
                f"sampling.weights: '{name}' is not a database of this run "
                f"({', '.join(names)})." + did_you_mean(name, names)
            )
        shares = np.array([weights.get(name, 1.0) for name in names], float)
        if (shares < 0).any() or not np.isfinite(shares).all():
            faults.add("sampling.weights: expected numbers of 0 or more.")
        elif names and not shares.any():
            faults.add("sampling.weights: expected one above 0, all are 0.")
    cumulative = np.cumsum(shares) / shares.sum()
    # Rounding must neither cut off the last database nor draw a zero weight.
    cumulative[np.flatnonzero(shares)[-1] :] = 1.0
    return cumulative


def _training_cases(name: str, store: RecordStore) -> np.ndarray:
    """Return the numbers of a store's training cases."""
    numbers = store.case_numbers("train")
    if not numbers:
        raise InputError(
            f"database '{name}': none of its {len(store.cases)} cases is in "
            "the train split. Change build.splits, or leave the database out."
        )
    return np.array(numbers)


def _draw_table(
    store: RecordStore, number: int, supervision: Supervision, balance: Balance
) -> _DrawTable:
    """Collect what is drawn from one case."""
    case = store.cases[number]
    records = np.asarray(store.records_of_case(number))
    counts = np.asarray(store.voxel_counts[records], np.int64)
    sets = np.asarray(store.stored_sets, bool)
    # A set that holds background (ignore, "organ or nothing") is not a place
    # where a foreground label is known to be.
    drawn = ~sets[:, 0]
    if supervision != "naive":
        # Pseudo-labels are not annotated.
        drawn &= (sets & case.annotated).any(axis=1)
    if balance == "values":
        drawn[0] = True
    values = np.flatnonzero(drawn & (counts.sum(axis=0) > 0))
    return _DrawTable(
        scan_shape=np.asarray(case.scan_shape, np.int64),
        records=records,
        values=values,
        cumulative=np.cumsum(counts[:, values], axis=0).T.copy(),
        cumulative_body=np.cumsum(store.body_voxels[records], dtype=np.int64),
    )
