"""Which scan is segmented, where its label map goes, what decides its bits.

In: a loaded run, a scan. Out: `SegmentJob`, keys for stamps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial import __version__
from tfpartial.config import Predict
from tfpartial.databases import ImageSource
from tfpartial.models.registry import describe_code
from tfpartial.runs.loaded_run import LoadedRun
from tfpartial.scans import Volume

# Speed only: another value gives the same segmentation.
_WITHOUT_EFFECT = {"windows_per_batch"}


@dataclass(frozen=True)
class SegmentJob:
    """One scan to segment.

    Attributes:
        source: the scan, HU.
        output: where its label map belongs.
        prone_turn: the affine does not know that the patient lies prone.
    """

    source: ImageSource
    output: Path
    prone_turn: bool = False

    @property
    def stamp(self) -> Path:
        """Where the stamp belongs that vouches for everything written."""
        return self.output.with_name(f"{self.output.name}.stamp.json")


def network_key(run: LoadedRun, options: Predict) -> dict[str, Any]:
    """Return everything but the scan that a segmentation depends on.

    Args:
        run: the trained run.
        options: how it predicts, and with which of its networks.

    Raises:
        InputError: the run has no such weights.
    """
    experiment = run.experiment
    code = describe_code(experiment.network.name)
    return {
        "tfpartial": __version__,
        "weights_sha256": run.weights_hash(options.network),
        "labels": list(run.space.names),
        "architecture": experiment.network.model_dump(mode="json"),
        "preprocess": experiment.preprocess.model_dump(mode="json"),
        "predict": options.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "window_shape": list(options.window_shape or run.window_shape),
        **({} if code is None else {"code_from_outside": code}),
    }


def prediction_key(
    network_key: dict[str, Any], job: SegmentJob, volume: Volume
) -> dict[str, Any]:
    """Return everything that one segmentation depends on.

    Args:
        network_key: of `network_key`.
        job: the scan.
        volume: of its source. Its voxels count, not the bytes of its files:
            a scan is read once, whatever it is stored as.
    """
    return {
        "use": "Research use only",
        "scan_sha256": voxel_hash(volume),
        "prone_turn": job.prone_turn,
        **network_key,
    }


def voxel_hash(volume: Volume) -> str:
    """Return the sha256 of voxels, affine and kept header, as hex.

    Other than `exact_hash`, which finds a scan again under other axes: two
    volumes of one hash are segmented into the same file, bit by bit.
    """
    array = np.ascontiguousarray(volume.array.T)  # as files store voxels
    about = f"{volume.shape} {array.dtype.str} {volume.affine.tolist()}"
    about += repr(volume.header.kept)  # goes into the outputs unchanged
    digest = hashlib.sha256(about.encode())
    digest.update(array.data)
    return digest.hexdigest()
