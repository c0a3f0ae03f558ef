"""A run folder -> its declaration and its trained networks.

In: `config.yaml` and the weights, both written by training.
Out: `LoadedRun`, `keras.Model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from tfpartial.config import Experiment, load_experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.errors import InputError
from tfpartial.files.safe_reading import file_hash
from tfpartial.labels import LabelSpace
from tfpartial.models.build import build_network, check_logits
from tfpartial.models.registry import is_foreign
from tfpartial.runs.run_dir import RunDir, Which, config_of_run
from tfpartial.runs.weights import read_weights
from tfpartial.types import Shape3


@dataclass(frozen=True)
class LoadedRun:
    """What a training run declared, and where it lies.

    Attributes:
        experiment: its resolved config.
        space: its label space.
        run_dir: the folder with the weights.
    """

    experiment: Experiment
    space: LabelSpace
    run_dir: Path

    @property
    def window_shape(self) -> Shape3:
        """The declared window, else the training patch, in voxels."""
        experiment = self.experiment
        return experiment.predict.window_shape or experiment.fit.patch_shape

    def weights_path(self, which: Which) -> Path:
        """Return the weights file of a network.

        Raises:
            InputError: it does not exist.
        """
        path = RunDir(self.run_dir).weights(which)
        if path.is_file():
            return path
        written = sorted(p.name for p in self.run_dir.glob("*.weights.h5"))
        raise InputError(
            f"{self.run_dir}: expected {path.name}, found "
            f"{', '.join(written) or 'no weights'}. "
            + (
                "Choose the other network with predict.network, or train "
                "with fit.teacher=true."
                if written
                else "Run fit until it has finished an epoch."
            )
        )

    def weights_hash(self, which: Which) -> str:
        """Return the sha256 of a weights file: it names the network."""
        return file_hash(self.weights_path(which))


def load_run(
    run_dir: str | Path,
    overrides: Sequence[str] = (),
    trust_code: bool = False,
) -> LoadedRun:
    """Read what a run declared.

    Args:
        run_dir: the folder that fit made, wherever it lies now.
        overrides: `field=value`, such as predict.overlap=0.25.
        trust_code: whether a network from outside this package may be
            imported.

    Raises:
        InputError: the folder is not a run, its config has faults, or it
            needs code that is not trusted.
    """
    experiment = load_experiment(
        config_of_run(run_dir),
        overrides,
        replaced={"run_dir": str(run_dir)},
        trust_code=trust_code,
    )
    return LoadedRun(experiment, label_space_of(experiment), Path(run_dir))


def network_of(experiment: Experiment, name: str) -> keras.Model:
    """Build the declared network under a name (prefix of its layers).

    Raises:
        InputError: its code is not trusted; it does not return what it must.
    """
    declared, num_labels = (
        experiment.network,
        label_space_of(experiment).num_labels,
    )
    network = build_network(
        declared.name,
        num_labels=num_labels,
        seed=experiment.seed,
        model_name=name,
        trust_code=declared.trust_code,
        **declared.sizes,
    )
    if is_foreign(declared.name):
        patch_shape = experiment.fit.patch_shape
        check_logits(network, num_labels, patch_shape, declared.name)
    return network


def load_network(run: LoadedRun, which: Which = "student") -> keras.Model:
    """Build the declared network and load its trained weights.

    Raises:
        InputError: the weights are missing, damaged, or belong to another
            network; see also `network_of`.
    """
    path = run.weights_path(which)
    network = network_of(run.experiment, which)
    read_weights(
        network,
        path,
        f"{RunDir(run.run_dir).config} declares "
        f"({run.experiment.network.name}, {run.space.num_labels} labels)",
    )
    return network
