"""A file format of scans and label maps: one class reads and writes it.

In: paths. Out: `Volume`s that were checked, files that appear whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from tfpartial.errors import InputError
from tfpartial.scans.volume import Volume

NOTICE = "Research use only"


class Format(ABC):
    """One file format: a new one defines `read`.

    Attributes:
        name: what messages call it.
        endings: of its files, lower case; the first is the usual one.
    """

    name: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]

    def stem(self, file_name: str) -> str | None:
        """Return a file name without its ending; None: not of this format.

        Upper and lower case are the same; a bare ending is no name.
        """
        for ending in sorted(self.endings, key=len, reverse=True):
            if file_name.lower().endswith(ending):
                return file_name[: -len(ending)] or None
        return None

    def is_scan(self, path: Path) -> bool:
        """Tell whether something of this format is there, by its name."""
        return path.is_file() and self.stem(path.name) is not None

    @abstractmethod
    def read(self, path: Path) -> Volume:
        """Read numbers as stored, scaled where the file says so.

        Returns:
            Volume (I, J, K) of any real dtype in native byte order; affine
            voxel -> RAS+ mm.

        Raises:
            InputError: damaged, of another format, not 3D, no orientation.
        """

    def read_image(self, path: Path) -> Volume:
        """Read a scan; see `formats.read_image`."""
        volume = self.read(path)
        array = volume.array
        if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
            return volume
        with np.errstate(over="ignore"):
            values = array.astype(np.float32)
        finite = np.isfinite(values)
        if not finite.all():
            raise InputError(
                f"{path}: expected finite voxels, found {(~finite).sum()} that "
                "are NaN, infinite or beyond float32. Replace them (air is "
                "-1000 HU)."
            )
        return Volume(values, volume.affine)

    def read_labels(self, path: Path) -> Volume:
        """Read a label map, exactly; see `formats.read_labels`."""
        volume = self.read(path)
        array = volume.array
        if array.dtype.kind == "f":
            whole = np.isfinite(array)
            whole[whole] = array[whole] == np.rint(array[whole])
            if not whole.all():
                raise InputError(
                    f"{path}: expected whole numbers (labels), found "
                    f"{array[~whole][0]} and {(~whole).sum() - 1} more that "
                    "are not. Is it an image, or resampled with interpolation? "
                    "Resample label maps by nearest neighbour."
                )
        low, high = array.min(), array.max()
        limits = np.iinfo(np.int32)
        if low < limits.min or high > limits.max:
            raise InputError(
                f"{path}: expected labels that fit 32 bits, found {low} to "
                f"{high}. Number the labels anew."
            )
        dtype = np.uint8 if low >= 0 and high <= 255 else np.int32
        return Volume(array.astype(dtype), volume.affine)


class WritableFormat(Format):
    """A format whose files are written too: label maps, probabilities."""

    @abstractmethod
    def write(
        self,
        path: Path,
        volume: Volume,
        names: Mapping[int, str] | None,
        description: str,
    ) -> None:
        """Write a volume; see `formats.write_volume`."""

    @abstractmethod
    def write_probabilities(
        self,
        path: Path,
        probabilities: np.ndarray,
        affine: np.ndarray,
        names: Mapping[int, str],
    ) -> None:
        """Write (I, J, K, L); see `formats.write_probabilities`."""
