"""Scans to records with two processes: time beyond resampling, and size.

    python benchmarks/build_records.py [--quick]

Builds the records of a database from nothing, again and again. The floor is
inflating every input file once (zlib, two threads). Resampling (SimpleITK, two
threads) is measured beside it and taken off: what is left is reading, checks,
statistics, compression, TFRecords, the start of the processes. The size on
disk is compared with gzip files (level 6) of the resampled scans. Checked: the
records hold the voxels that `preprocess` and `resample_labels` return.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import sys
import tempfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measure
import scans

from tfpartial.config.cross_checks import label_space_of
from tfpartial.databases import find_cases, read_case
from tfpartial.records.store import RecordStore
from tfpartial.scans import (
    Volume,
    canonical_grid,
    preprocess,
    resample_image,
    resample_labels,
    round_hu,
)
from tfrecords_builder.build import build_records

WORKERS = 2
# Clinical pixels of 1 mm, slices of 3 mm. The scans of OpenKBP are coarser
# than 2 mm; 3 mm is what their config asks for.
PHANTOM = ((512, 512, 100), (0.9766, 0.9766, 3.0))
TOY_PHANTOM = ((40, 36, 32), (8.0, 8.0, 8.0))
SPACING_MM = {"phantom": 2.0, "openkbp": 3.0}
CASES = {"phantom": 6, "openkbp": 34}


class Work:
    """One database of scans, to be built again and again."""

    def __init__(self, folder: Path, of: str, quick: bool) -> None:
        self.experiment = scans.experiment_of(
            folder,
            2 if quick else CASES[of],
            (10.0 if quick else SPACING_MM[of],) * 3,
            TOY_PHANTOM if quick else PHANTOM,
            of=of,
            workers=1 if quick else WORKERS,
        )
        database, space = (
            self.experiment.databases[0],
            label_space_of(self.experiment),
        )
        self.cases = find_cases(database, space)
        self.files = [
            path
            for case in self.cases
            for paths in case.source.files.values()
            for path in paths
        ]
        self._scans = {
            case.case_id: read_case(case, database, space)
            for case in self.cases
        }

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the first scan."""
        return next(iter(self._scans.values()))[0].shape

    def build(self) -> None:
        """Build the records from nothing."""
        shutil.rmtree(self.experiment.records_dir, ignore_errors=True)
        build_records(self.experiment)

    def inflate(self) -> None:
        """Decompress every input file once."""
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(_inflate, self.files))

    def resample(self) -> None:
        """Resample every scan, which is in memory, and its labels."""
        for image, stored in self._scans.values():
            grid = self._grid(image)
            round_hu(resample_image(image, grid))
            resample_labels(stored, grid, fill=0)

    def megabytes(self) -> dict[str, float]:
        """Return sizes: input, records on disk, resampled scans as gzip."""
        store = self._store()
        compressed = sum(
            len(gzip.compress(array.tobytes(), 6))
            for number in range(len(store.cases))
            for array in store.read_scan(number)
        )
        files = self.files, store.folder.iterdir()
        read, written = (sum(p.stat().st_size for p in each) for each in files)
        return {
            "input": read / 1e6,
            "records": written / 1e6,
            "compressed_scans": compressed / 1e6,
        }

    def same_voxels(self) -> bool:
        """Return whether records hold what preprocessing returns."""
        store, settings = self._store(), self.experiment.preprocess
        for number, case in enumerate(store.cases):
            image, stored = self._scans[case.case]
            scan = preprocess(
                image, settings.spacing_mm, settings.hu_window,
                settings.body_threshold_hu,
            )  # fmt: skip
            labels = resample_labels(stored, scan.grid, store.ignore_value)
            hu, values = store.read_scan(number)
            if (hu != scan.hu).any() or (values != labels).any():
                return False
        return True

    def _grid(self, image: Volume) -> Any:
        spacing_mm = self.experiment.preprocess.spacing_mm
        return canonical_grid(image.shape, image.affine, spacing_mm)

    def _store(self) -> RecordStore:
        name = self.experiment.databases[0].name
        return RecordStore(self.experiment.records_dir, name)


def _inflate(path: Path) -> int:
    return len(zlib.decompress(path.read_bytes(), wbits=31))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    quick = parser.parse_args(arguments).quick
    of = "phantom" if quick else scans.source()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), of, quick)
        seconds = measure.in_turn(
            {
                "build": work.build,
                "inflate": work.inflate,
                "resample": work.resample,
            },
            repeats=2 if quick else 20,
            warmup=1,
        )
        megabytes = work.megabytes()
        checked = {"same_voxels": work.same_voxels()}
    beyond = statistics.median(
        (build - resample) / inflate
        for build, resample, inflate in zip(
            seconds["build"], seconds["resample"], seconds["inflate"],
            strict=True,
        )
    )  # fmt: skip
    count = len(work.cases)
    measure.report(
        "build_records",
        seconds,
        [
            measure.Target(
                "(building - resampling) / inflating the input, time",
                beyond, 3.0, at_least=False,
            ),
            measure.Target(
                "records / compressed resampled scans, bytes",
                megabytes["records"] / megabytes["compressed_scans"],
                3.0, at_least=False,
            ),
            measure.Target(
                "scans per second, 2 processes",
                count / statistics.median(seconds["build"]),
            ),
        ],
        checked,
        scans=of,
        cases=count,
        shape=list(work.shape),
        megabytes=megabytes,
        grid_mm=list(work.experiment.preprocess.spacing_mm),
    )  # fmt: skip
    return int(not checked["same_voxels"])


if __name__ == "__main__":
    sys.exit(main())
