"""Images that no format of this program reads, by their names.

In: paths. Out: those that a person would take for scans or masks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfpartial.scans.formats import stem

# Of the formats that other programs of the field write.
IMAGE_ENDINGS = (
    ".nii.gz",
    ".nii",
    ".nii.bz2",
    ".nii.zst",
    ".nrrd",
    ".nhdr",
    ".seg.nrrd",
    ".mha",
    ".mhd",
    ".img",
    ".img.gz",
    ".hdr",
    ".mgh",
    ".mgz",
    ".mnc",
    ".dcm",
    ".ima",
    ".gipl",
    ".gipl.gz",
    ".vtk",
    ".tif",
    ".tiff",
    ".npy",
    ".npz",
    ".h5",
)


def image_stem(file_name: str) -> str | None:
    """Return the name of an image without its ending, read or not."""
    known = stem(file_name)
    if known is not None:
        return known
    for ending in sorted(IMAGE_ENDINGS, key=len, reverse=True):
        if file_name.lower().endswith(ending):
            return file_name[: -len(ending)] or None
    return None


def unread_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images among some paths that are of no known format."""
    return [
        path
        for path in paths
        if stem(path.name) is None and image_stem(path.name) is not None
    ]
