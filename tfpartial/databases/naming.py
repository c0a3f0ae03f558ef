"""How cases and files are listed in messages and told apart on disk.

In: names. Out: one line of text, or a name without its NIfTI ending.
"""

from __future__ import annotations

from collections.abc import Iterable

NIFTI_ENDINGS = (".nii.gz", ".nii")


def join_names(names: Iterable[object], limit: int = 20) -> str:
    """Return "a, b, c and 4 more": long enough to act on, short to read."""
    words = [str(name) for name in names]
    shown = ", ".join(words[:limit])
    hidden = len(words) - limit
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def without_nifti_ending(file_name: str) -> str | None:
    """Return the name without .nii.gz or .nii; None if it has neither."""
    for ending in NIFTI_ENDINGS:
        if file_name.endswith(ending) and file_name != ending:
            return file_name[: -len(ending)]
    return None
