"""Texts that name a patient: planted where scans carry them, then searched."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import nibabel

# Fits the shortest text field of a NIfTI header (intent_name, 16 bytes).
NAME = "DoeJane_1970"


def plant(scans: Path) -> None:
    """Write the name into every free text of every NIfTI below a folder."""
    for path in sorted(scans.rglob("*.nii.gz")):
        image = nibabel.load(path)
        for field in ("descrip", "aux_file", "intent_name", "db_name"):
            image.header[field] = NAME.encode()
        for code in (4, 6):  # AFNI's attributes; a comment
            image.header.extensions.append(
                nibabel.nifti1.Nifti1Extension(code, f"{NAME}^M".encode())
            )
        array = image.dataobj.get_unscaled()
        nibabel.Nifti1Image(array, image.affine, image.header).to_filename(path)
        assert gzip.decompress(path.read_bytes()).count(NAME.encode()) >= 6


def files_that_name(folder: Path) -> list[str]:
    """Return the files below a folder whose name or content holds the name.

    Compressed content is searched as well: gzip, zip members, and every zlib
    stream (of records, of pictures' texts).
    """
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if NAME in path.relative_to(folder).as_posix()
        or (path.is_file() and any(map(_holds, _contents(path))))
    )


def _holds(content: bytes) -> bool:
    return NAME.lower().encode() in content.lower()


def _contents(path: Path) -> list[bytes]:
    data = path.read_bytes()
    found = [data]
    if data[:2] == b"\x1f\x8b":
        found.append(gzip.decompress(data))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            found += [file.read(name) for name in file.namelist()]
    for start in range(len(data) - 1):
        # The three headers that zlib writes.
        if data[start] == 0x78 and data[start + 1] in (0x01, 0x9C, 0xDA):
            try:
                found.append(zlib.decompressobj().decompress(data[start:]))
            except zlib.error:
                continue
    return found
