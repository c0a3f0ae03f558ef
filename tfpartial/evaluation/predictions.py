"""The prediction files of a split: which are there, missing or left over.

In: cases, a folder. Out: one path or None per case; label maps, checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfpartial.databases import Case
from tfpartial.errors import Faults, InputError, join_names, shown
from tfpartial.files.safe_reading import read_json
from tfpartial.files.visible import visible_entries
from tfpartial.labels import LabelSpace
from tfpartial.scans import Volume, check_same_grid, read_labels
from tfpartial.scans.formats import is_scan, label_map_path, names_path


def prediction_path(predictions_dir: Path, case: Case) -> Path:
    """Return where a case's prediction belongs."""
    return label_map_path(predictions_dir / case.database, case.case_id)


def find_predictions(
    predictions_dir: Path, cases: Sequence[Case], missing: str
) -> list[Path | None]:
    """Return the prediction of every case; None where it is missing.

    Args:
        predictions_dir: label maps `<database>/<case>` below it.
        cases: those to score.
        missing: "error" or "zero" (`evaluate.missing`).

    Raises:
        InputError: no such folder; or, unless `missing` is "zero", every
            case without a prediction.
    """
    if not predictions_dir.is_dir():
        raise InputError(
            f"{predictions_dir}: expected a folder of predictions, found "
            f"nothing there. Run predict first."
        )
    paths: list[Path | None] = []
    with Faults() as faults:
        for case in cases:
            path = prediction_path(predictions_dir, case)
            if path.is_file():
                paths.append(path)
                continue
            paths.append(None)
            if missing == "error":
                faults.add(
                    f"case '{case.database}/{case.case_id}': expected the "
                    f"prediction {path}, found nothing there. Run predict on "
                    f"it, or set evaluate.missing=zero to count it as 0."
                )
    return paths


def leftover_warnings(
    predictions_dir: Path,
    cases: Sequence[Case],
    split: str,
    skipped: Collection[str],
) -> list[str]:
    """Return at most two lines about files that no case claims.

    Args:
        predictions_dir: searched one folder deep.
        cases: those that are scored.
        split: named in the line.
        skipped: databases that were left out on purpose: not mentioned.
    """
    wanted = {prediction_path(predictions_dir, case) for case in cases}
    entries = visible_entries(predictions_dir)
    files = [p for e in entries for p in visible_entries(e) if is_scan(p)]
    extra = [
        f"{path.parent.name}/{path.name}"
        for path in files
        if path not in wanted and path.parent.name not in skipped
    ]
    loose = [path.name for path in entries if is_scan(path)]
    warnings = []
    if extra:
        warnings.append(
            f"{predictions_dir}: {len(extra)} prediction(s) not scored, no "
            f"case of split '{split}': {join_names(extra, 5)}"
        )
    if loose:
        warnings.append(
            f"{predictions_dir}: {len(loose)} file(s) outside of a database's "
            f"folder not scored: {join_names(loose, 5)}"
        )
    return warnings


def read_prediction(
    path: Path, image: Volume, image_name: str, space: LabelSpace
) -> np.ndarray:
    """Read label indices (I, J, K) on the scan's own grid.

    Raises:
        InputError: unreadable, another grid than the scan's, an index
            outside [0, L), or names beside it of another label space.
    """
    labels = read_labels(path, image.header.placement)
    with Faults() as faults:
        with faults.collect():
            check_same_grid(image, labels, image_name, path)
        top = space.num_labels - 1
        low, high = int(labels.array.min()), int(labels.array.max())
        if low < 0 or high > top:
            faults.add(
                f"{path}: expected label indices 0 to {top} "
                f"({', '.join(space.names)}), found {low} to {high}. Predict "
                f"with a network of this label space."
            )
        _check_names(path, space, faults)
    return labels.array


def _check_names(path: Path, space: LabelSpace, faults: Faults) -> None:
    """Refuse a prediction whose own names say that its indices mean others.

    The JSON beside it is optional: foreign predictions have none.
    """
    beside = names_path(path)
    if not beside.is_file():
        return
    remedy = "Predict again, or remove it: it is optional."
    try:
        about = read_json(beside, "names of labels (JSON)", remedy)
    except InputError as error:
        faults.add(error)
        return
    names = about.get("labels") if isinstance(about, dict) else None
    if not isinstance(names, Mapping):
        return  # another tool's description of the file
    expected = {str(i): name for i, name in enumerate(space.names)}
    if dict(names) != expected:
        faults.add(
            f"{beside}: expected the names of the label space, {expected}, "
            f"found {shown(names)}. Predict with a network of this label "
            f"space, or evaluate with the config that it was trained with."
        )
