"""A finished run as an object: `tfpartial.load_run(dir).segment(scan)`.

In: a run folder, then scans as files or arrays. Out: label maps as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np

from tfpartial.inference.predict import predict_scan
from tfpartial.runs import loaded_run
from tfpartial.runs.loaded_run import LoadedRun, Which, load_network
from tfpartial.scans import Placement, Volume, read_image


@dataclass(frozen=True)
class TrainedRun(LoadedRun):
    """What a run declared, and its networks, loaded when first used."""

    _networks: dict[Which, keras.Model] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def label_names(self) -> tuple[str, ...]:
        """All L names, background first; a label map holds their indices."""
        return self.space.names

    def network(self, which: Which | None = None) -> keras.Model:
        """Return a trained network.

        Args:
            which: "student" or "teacher"; default: the run's
                `predict.network`.

        Returns:
            (N, I, J, K, 1) float32, normalised -> (N, i, j, k, L) logits.

        Raises:
            InputError: its weights are missing or damaged.
        """
        which = which or self.experiment.predict.network
        if which not in self._networks:
            self._networks[which] = load_network(self, which)
        return self._networks[which]

    def segment(
        self,
        scan: str | Path | np.ndarray,
        affine: np.ndarray | None = None,
        *,
        prone_turn: bool = False,
    ) -> Volume:
        """Segment one scan as the run's `predict` section says.

        Args:
            scan: the path of a scan; or (I, J, K) HU, in any orientation.
            affine: with an array: (4, 4), voxel index -> RAS+ mm.
            prone_turn: turn the patient by 180 degrees about the long axis.

        Returns:
            Volume of (I, J, K) uint8 indices of `label_names`, on the scan's
            own grid.

        Raises:
            InputError: the file is no usable scan, or shows no body; weights
                are missing or damaged.
            ValueError: an array without an affine, or a file with one.
        """
        if isinstance(scan, (str, Path)) and affine is None:
            options = self.experiment.predict
            placement = Placement(
                options.affine, orientation=options.orientation
            )
            volume = read_image(scan, placement)
        elif isinstance(scan, np.ndarray) and affine is not None:
            volume = Volume(scan, affine)
        else:
            raise ValueError(
                "segment: expected a path alone or an array with its affine, "
                f"received {type(scan).__name__} and {type(affine).__name__}."
            )
        labels, _ = predict_scan(
            self.network(),
            volume,
            self.space,
            self.experiment.preprocess,
            self.experiment.predict,
            prone_turn,
            self.window_shape,
        )
        return replace(volume, array=labels)


def load_run(
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    trust_code: bool = False,
) -> TrainedRun:
    """Open the folder that fit made, wherever it lies now.

    Args:
        run_dir: the folder.
        overrides: `field=value`, such as "predict.network=teacher".
        trust_code: whether a network from outside this package may be
            imported.

    Raises:
        InputError: no run, or its config has faults.
    """
    loaded = loaded_run.load_run(run_dir, overrides, trust_code)
    return TrainedRun(loaded.experiment, loaded.space, loaded.run_dir)
