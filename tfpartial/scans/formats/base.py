"""A file format of scans and label maps: one class reads and writes it.

In: paths. Out: `Volume`s as stored, files that appear whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from tfpartial.scans.volume import Placement, Volume

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

    def read_placed(self, path: Path, _: Placement) -> Volume:
        """Read as `read`; a format whose headers are ambiguous overrides it.

        Its second argument is what was declared of them.
        """
        return self.read(path)


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
        scan: Volume,
        names: Mapping[int, str],
    ) -> None:
        """Write (I, J, K, L); see `formats.write_probabilities`."""
