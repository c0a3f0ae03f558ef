"""The CSV folders of the public OpenKBP repository -> NIfTI and a database.

In: folders `pt_<n>/` with `ct.csv`, `voxel_dimensions.csv` and one CSV per
contoured organ. Out: `<target>/<case>/ct.nii.gz` and `labels.nii.gz`
(stored values 1 to 7), and `<target>/database.yaml`.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from tqdm import tqdm

from tfpartial.errors import Faults, InputError, did_you_mean, shown
from tfpartial.files.safe_reading import read_text
from tfpartial.files.whole_file import write_whole
from tfpartial.scans import Volume, write_volume

GRID = (128, 128, 128)
ORGANS = (
    "Brainstem",
    "SpinalCord",
    "RightParotid",
    "LeftParotid",
    "Esophagus",
    "Larynx",
    "Mandible",
)
# Published beside the organs and left out on purpose: targets and dose are of
# the treatment, not of the anatomy, and a target may lie on top of an organ.
NOT_IMPORTED = (
    "PTV56",
    "PTV63",
    "PTV70",
    "dose",
    "possible_dose_mask",
)
KNOWN = {"ct", "voxel_dimensions", *ORGANS, *NOT_IMPORTED}
AIR_HU = -1000.0
MAX_SPACING_MM = 20.0
# A row of ct.csv is 14 bytes; there are 2 million voxels.
_MAX_CSV_BYTES = 64 * 2**20
_DOWNLOAD = "Download the file again."
_MARKER = "contoured.txt"
CITATION = (
    "Babier et al., OpenKBP: The open-access knowledge-based planning grand "
    "challenge and dataset, Medical Physics 48 (2021) 5549-5561."
)


def import_openkbp(source: Path, target: Path) -> None:
    """Convert every patient folder below `source` into `target`.

    A case is written to a hidden folder and renamed, so a case folder that
    exists is finished; it is not converted again. Organs that a patient has
    no CSV for were not contoured: `database.yaml` declares, case by case,
    what is annotated. PTVs and dose are left out on purpose.

    Args:
        source: the repository's `provided-data`, or any folder above the
            `pt_<n>` folders, or one of them.
        target: made if needed.

    Raises:
        InputError: with the faults of all patients; those without a fault are
            converted all the same.

    Source: Babier et al. 2021 and github.com/ababier/open-kbp, MIT.
    """
    source, target = Path(source), Path(target)
    folders = _patient_folders(source)
    target.mkdir(parents=True, exist_ok=True)
    annotated: dict[str, list[str]] = {}
    with Faults() as faults:
        for folder in tqdm(folders, desc="import-openkbp", unit="case"):
            with faults.collect():
                annotated[folder.name] = _import_case(folder, target)
        if annotated:
            _write_database(target / "database.yaml", annotated)


def read_case(folder: Path) -> tuple[Volume, Volume, list[str]]:
    """Return HU (int16), labels (uint8, 0 to 7) and the contoured organs.

    Formula:
        HU = value - 1000 inside the body; absent voxels are air, -1000
        index = (i * 128 + j) * 128 + k                     C order
        x = -s1 (j - 63.5), y = -s0 (i - 63.5), z = -s2 (k - 63.5)   RAS, mm

    Axis 0 runs to posterior, 1 to the patient's left, 2 to the feet. The
    published data has no position: the grid is centred on the origin. Where
    organs overlap, the later of `ORGANS` is kept.

    Raises:
        InputError: with every fault of the folder.
    """
    with Faults() as faults:
        _check_names(folder, faults)
        affine = _collect(faults, _read_affine, folder)
        hu = _collect(faults, _read_hu, folder)
        masks = {
            organ: _collect(faults, _read_mask, folder / f"{organ}.csv")
            for organ in ORGANS
            if os.path.lexists(folder / f"{organ}.csv")
        }
        if not masks:
            faults.add(
                f"{folder}: expected the CSV of at least one of "
                f"{', '.join(ORGANS)}, found none. Remove the folder."
            )
    labels = np.zeros(GRID, np.uint8)
    for organ, index in masks.items():
        labels.flat[index] = ORGANS.index(organ) + 1
    # A header without voxels says as little as no file at all.
    contoured = [organ for organ, index in masks.items() if index.size]
    return Volume(hu, affine), Volume(labels, affine), contoured


def _collect(
    faults: Faults, read: Callable[[Path], np.ndarray], path: Path
) -> np.ndarray:
    """Return what `read` returns; a fault is remembered instead of raised."""
    try:
        return read(path)
    except InputError as error:
        faults.add(error)
        return np.array([])


def _patient_folders(source: Path) -> list[Path]:
    if not source.is_dir():
        raise InputError(f"{source}: expected a folder, found none.")
    folders = sorted({path.parent for path in source.rglob("ct.csv")})
    if not folders:
        raise InputError(
            f"{source}: expected folders with a ct.csv (pt_1, pt_2, ...) at "
            f"any depth, found none. Give the repository's provided-data."
        )
    names = [folder.name for folder in folders]
    with Faults() as faults:
        for name in sorted({n for n in names if names.count(n) > 1}):
            faults.add(
                f"{source}: patient '{name}' occurs {names.count(name)} times; "
                f"case names must differ. Import the folders one by one."
            )
    return sorted(folders, key=lambda folder: folder.name)


def _import_case(folder: Path, target: Path) -> list[str]:
    """Convert one patient unless it is there; return what is annotated."""
    finished = target / folder.name
    hidden = target / f".{folder.name}.partial"
    marker = finished / _MARKER
    if marker.is_file():
        return _read_marker(marker)
    if finished.exists():
        raise InputError(
            f"{finished}: expected a case of this importer (with "
            f"{_MARKER}) or nothing, found something else. Remove it or "
            f"give another target."
        )
    scan, labels, contoured = read_case(folder)
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    try:
        write_volume(hidden / "ct.nii.gz", scan, None)
        names = {0: "background", **dict(enumerate(ORGANS, start=1))}
        write_volume(hidden / "labels.nii.gz", labels, names)
        (hidden / _MARKER).write_text("\n".join(contoured) + "\n")
        os.rename(hidden, finished)
    finally:
        # Also when the disk is full: it takes the space that is missing.
        shutil.rmtree(hidden, ignore_errors=True)
    return contoured


def _read_marker(marker: Path) -> list[str]:
    """Return the contoured organs of a case that is converted already."""
    remedy = "Remove the folder: the case is converted again."
    what = f"names of {', '.join(ORGANS)}, one a line"
    names = read_text(marker, what, 1000, remedy).splitlines()
    if names != [organ for organ in ORGANS if organ in names]:
        raise InputError(
            f"{marker}: expected {what}, found {shown(names)}. {remedy}"
        )
    return names


def _check_names(folder: Path, faults: Faults) -> None:
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in KNOWN:
            faults.add(
                f"{path}: expected a file of OpenKBP "
                f"({', '.join(sorted(KNOWN))}), found another name."
                + did_you_mean(path.stem, KNOWN)
                + " Rename or remove it."
            )


def _read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file; empty lines are none.

    Raises:
        InputError: it is not a whole CSV file of at most a row per voxel.
    """
    what = "a CSV file of OpenKBP"
    text = read_text(path, what, _MAX_CSV_BYTES, _DOWNLOAD)
    rows, found = text.count("\n"), ""
    if rows > np.prod(GRID) + 1:
        found = f"{rows} rows"
    elif not text.endswith("\n"):
        found = "one that ends within a row"
    else:
        try:
            return [row for row in csv.reader(io.StringIO(text)) if row]
        except csv.Error as error:
            found = f"another text ({error})"
    raise InputError(f"{path}: expected {what}, found {found}. {_DOWNLOAD}")


def _read_affine(folder: Path) -> np.ndarray:
    path = folder / "voxel_dimensions.csv"
    rows = _read_rows(path)
    try:
        spacing = np.array([row[0] for row in rows], float)
    except ValueError:
        spacing = np.array([])
    if (
        spacing.shape != (3,)
        or not ((spacing > 0) & (spacing <= MAX_SPACING_MM)).all()
    ):
        raise InputError(
            f"{path}: expected three lengths in mm above 0 and up to "
            f"{MAX_SPACING_MM:g}, one a line, found "
            f"{[row[0] for row in rows[:4]]}. {_DOWNLOAD}"
        )
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2] = -spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(GRID) - 1) / 2)
    affine[3, 3] = 1.0
    return affine


def _read_hu(folder: Path) -> np.ndarray:
    path = folder / "ct.csv"
    index, rows = _read_indices(path)
    try:
        value = np.array([row[1] for row in rows], np.float64)
    except (ValueError, IndexError):
        value = np.array([np.nan])
    if not index.size or not np.isfinite(value).all():
        raise InputError(
            f"{path}: expected lines 'voxel index,number', found none or a "
            f"value that is not a finite number. {_DOWNLOAD}"
        )
    hu = np.full(GRID, AIR_HU, np.int16)
    hu.flat[index] = np.clip(np.rint(value + AIR_HU), -32768, 32767)
    return hu


def _read_mask(path: Path) -> np.ndarray:
    return _read_indices(path)[0]


def _read_indices(path: Path) -> tuple[np.ndarray, list[list[str]]]:
    """Return voxel indices (N,) int64 and the rows they come from."""
    header, *rows = _read_rows(path) or [[]]
    if header != ["", "data"]:
        raise InputError(
            f"{path}: expected the header ',data', found "
            f"{shown(','.join(header))}. {_DOWNLOAD}"
        )
    try:
        index = np.array([row[0] for row in rows], np.float64)
    except ValueError:
        index = np.array([np.nan])
    size = int(np.prod(GRID))
    whole = (index >= 0) & (index < size) & (index == np.floor(index))
    if not whole.all() or np.unique(index).size != index.size:
        raise InputError(
            f"{path}: expected different whole indices from 0 to {size - 1} "
            f"(a grid of 128 x 128 x 128), found "
            f"{index[~whole][:3].tolist() or 'repeated ones'}. {_DOWNLOAD}"
        )
    return index.astype(np.int64), rows


def _write_database(path: Path, annotated: dict[str, list[str]]) -> None:
    """Describe the target as a database that an experiment can list."""
    declared = {
        "name": "openkbp",
        "layout": "label_map_folder",
        "path": ".",
        "values": dict(enumerate(ORGANS, start=1)),
        "cases": {
            case: {"annotated": organs}
            for case, organs in annotated.items()
            if set(organs) != set(ORGANS)
        },
        "licence": "MIT",
        "citation": CITATION,
    }
    text = "# Written by tfpartial import-openkbp; lists organs per case.\n"
    text += yaml.safe_dump(declared, sort_keys=False, width=78)
    write_whole(path, text)
