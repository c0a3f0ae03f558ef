"""Which scans are meant: files and folders -> NIfTI files.

In: paths from the command line. Out: files, each once, or all the faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfpartial.errors import Faults

SUFFIXES = (".nii", ".nii.gz")


def stem(path: Path) -> str:
    """Return a file name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def find_input_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the NIfTI files that are named, or directly in named folders.

    Raises:
        InputError: paths that do not exist or are no NIfTI, folders without
            one, and files whose predictions would have one name; together.
    """
    found: list[Path] = []
    with Faults() as faults:
        for path in map(Path, inputs):
            if path.is_dir():
                inside = [p for p in sorted(path.iterdir()) if _is_nifti(p)]
                if not inside:
                    faults.add(
                        f"{path}: expected NIfTI files ({', '.join(SUFFIXES)})"
                        f" directly in this folder, found none."
                    )
                found += inside
            elif not path.exists():
                faults.add(f"{path}: expected a file or folder, found none.")
            elif not _is_nifti(path):
                faults.add(
                    f"{path}: expected a NIfTI file ({', '.join(SUFFIXES)}). "
                    f"Convert it first."
                )
            else:
                found.append(path)
        owners: dict[str, Path] = {}
        for path in dict.fromkeys(found):
            owner = owners.setdefault(stem(path), path)
            if owner != path:
                faults.add(
                    f"{owner} and {path}: both would be written as "
                    f"{stem(path)}.nii.gz. Rename one, or predict them into "
                    f"different folders."
                )
        if not inputs:
            faults.add("inputs: expected NIfTI files or folders, found none.")
    return list(dict.fromkeys(found))


def _is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(SUFFIXES)
