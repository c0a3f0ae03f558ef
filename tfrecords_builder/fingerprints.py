"""Fingerprints: what a record depends on, as one sha256.

In: files, declarations, settings, versions. Out: hexadecimal digests.
Equal fingerprint => the records on disk hold what a build would write.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tfpartial.config import Database, Experiment
from tfpartial.databases import Case
from tfpartial.files.safe_reading import file_hash, value_hash
from tfpartial.labels import LabelSpace
from tfpartial.records.schema import SCHEMA_VERSION

# Part of the key of every cached scan: raise it when preprocessing changes
# what it computes, so that no stale scan is reused.
PREPROCESS_REVISION = 2

# Places and texts that change no voxel. Folder: moved data is the same data.
_WITHOUT_EFFECT = {"path", "licence", "citation", "exclude", "cases"}


def versions() -> dict[str, str]:
    """Return the versions that a manifest names."""
    packages = (
        "tfpartial",
        "tensorflow-datasets",
        "tensorflow",
        "numpy",
        "nibabel",
        "SimpleITK",
    )
    found = {package: _version(package) for package in packages}
    return {"record_schema": str(SCHEMA_VERSION)} | found


@functools.cache
def _version(package: str) -> str:
    """Look once: it parses a text of the package, and each case asks."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def hash_files(paths: Iterable[Path], threads: int) -> dict[Path, str]:
    """Return path -> sha256 of its bytes; hashing releases the GIL."""
    unique = sorted(set(paths))
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(unique, pool.map(file_hash, unique), strict=True))


def input_files(case: Case) -> list[Path]:
    """Return every file that a case is made from."""
    return [path for paths in case.source.files.values() for path in paths]


def case_fingerprint(
    case: Case,
    database: Database,
    space: LabelSpace,
    experiment: Experiment,
    hashes: dict[Path, str],
) -> str:
    """Return the fingerprint of one preprocessed scan."""
    return value_hash(
        {
            "case": case.case_id,
            "files": {
                role: sorted(hashes[path] for path in paths)
                for role, paths in case.source.files.items()
            },
            "annotated": case.annotated.tolist(),
            "prone_turn": case.prone_turn,
            "database": database.model_dump(
                mode="json", exclude=_WITHOUT_EFFECT
            ),
            # The digest sorts keys, but the order decides where masks overlap.
            "priority": [str(value) for value in database.values],
            "labels": space.names,
            "preprocess": experiment.preprocess.model_dump(mode="json"),
            "revision": PREPROCESS_REVISION,
            "versions": {
                name: text
                for name, text in versions().items()
                if name in ("record_schema", "numpy", "nibabel", "SimpleITK")
            },
        }
    )


def database_fingerprint(
    database: Database,
    experiment: Experiment,
    scans: Iterable[tuple[str, str, str, str]],
) -> str:
    """Return the fingerprint of the records of one database.

    Args:
        database: as declared.
        experiment: its block shape is part of the records.
        scans: (case id, patient id, split, case fingerprint) of each case.
    """
    return value_hash(
        {
            "scans": sorted(scans),
            "block_shape": experiment.build.block_shape,
            "licence": database.licence,
            "citation": database.citation,
            "tensorflow-datasets": versions()["tensorflow-datasets"],
            "record_schema": SCHEMA_VERSION,
        }
    )
