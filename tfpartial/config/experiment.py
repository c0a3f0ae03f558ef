"""What an experiment declares: one section per stage, each with a default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfpartial.config.base import Declared, Name, PathText, Seed
from tfpartial.config.database import Database, Orientation
from tfpartial.config.network import Network
from tfpartial.config.optimizer import AdamW, AnyOptimizer
from tfpartial.labels import MAX_LABELS, Balance, Supervision
from tfpartial.types import AffineForm

Count = Annotated[int, Field(ge=1)]
Triple = tuple[Count, Count, Count]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
MAX_DATABASES = 500


class LabelEntry(Declared):
    """One label of the label space."""

    name: Name
    tg263: Name | None = None
    mirror: str | None = None


class Preprocess(Declared):
    """Scan -> canonical frame, grid and intensities (shared by all stages)."""

    spacing_mm: tuple[Positive, Positive, Positive] = (2.0, 2.0, 2.0)
    hu_window: tuple[float, float] = (-200.0, 200.0)
    body_threshold_hu: float = Field(
        -500.0, description="voxels above it are the body mask of z-scoring"
    )

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Preprocess:
        if self.hu_window[0] >= self.hu_window[1]:
            raise ValueError(
                f"hu_window: expected lower < upper, found {self.hu_window}"
            )
        return self


class Splits(Declared):
    """Which cases train, validate and test; the patient is the unit."""

    file: PathText | None = Field(
        None,
        description="JSON {database: {train|validation|test: [case, ...]}}; "
        "a database it does not name is split by hash",
    )
    validation_share: Share = 0.1
    test_share: Share = 0.2
    validation_cases: dict[str, list[str]] = Field(
        default_factory=dict,
        description="database -> training cases moved to validation",
    )
    patient_pattern: str | None = Field(
        None,
        description="regular expression whose first group is the patient id "
        "of a case id; default: every case is one patient",
    )
    untrained_labels: Literal["error", "warn"] = Field(
        "error",
        description="what a label is that validation or test cases contain "
        "and no training case",
    )
    seed: int = 0


class Build(Declared):
    """Databases -> TFRecords."""

    block_shape: Triple = Field(
        (32, 32, 32),
        description="voxels of one record; any patch is "
        "assembled from the records it touches",
    )
    workers: int = Field(2, ge=1, description="processes")
    splits: Splits = Splits()


class Sampling(Declared):
    """Where training patches come from."""

    weights: dict[str, Weight] = Field(
        default_factory=dict,
        description="database -> relative share of patches; default: equal",
    )
    supervision: dict[str, Supervision] = Field(
        default_factory=dict,
        description="database -> partial (candidate sets, the default), "
        "naive (background although labels are missing) or unlabelled",
    )
    label_share: Share = Field(
        0.7,
        description="share of patches drawn by a stored value (`balance`); "
        "the others by a voxel of the body",
    )
    balance: Balance = Field(
        "labels",
        description="which stored values share these patches equally: labels "
        "(the annotated ones; the patch lies somewhere around the voxel) or "
        "values (background too; the patch is centred on the voxel)",
    )
    readers: int = Field(2, ge=1, description="parallel patches being read")


class Augment(Declared):
    """Random changes of a training patch, drawn from (seed, step, row)."""

    intensity_shift_sd: float = Field(0.1, ge=0)
    intensity_scale_sd: float = Field(0.1, ge=0)
    noise_sd: float = Field(0.05, ge=0)
    rotation_degrees: float = Field(10.0, ge=0, le=180)
    scale_range: float = Field(0.1, ge=0, lt=1)
    mirror_probability: Share = Field(
        0.0, description="left/right mirror with labels swapped"
    )


class Consistency(Declared):
    """The Mean Teacher: J = J_ace + w(t) J_con, Eq. (3)."""

    weight: float = Field(1.0, ge=0, description="w at the end of the ramp")
    ramp_start: Share = Field(3 / 35, description="share of the run")
    ramp_end: Share = Field(13 / 35, description="share of the run")
    ema_decay: float = Field(0.99, ge=0, lt=1)


class Validation(Declared):
    """Whole-scan validation during training."""

    every_epochs: int = Field(5, ge=1)
    max_cases: int = Field(4, ge=0, description="0: none")
    databases: list[str] = Field(
        default_factory=list,
        description="whose validation scans; default: of all that are trained "
        "on, in turn",
    )


class Fit(Declared):
    """Training."""

    epochs: int = Field(35, ge=1)
    steps_per_epoch: int = Field(100, ge=1)
    global_batch_size: int = Field(2, ge=1)
    patch_shape: Triple = (64, 64, 64)
    precision: Literal["float32", "bfloat16"] = "float32"
    deterministic: bool = Field(
        True,
        description="the same run twice gives the same bits; false: ops may "
        "sum in any order",
    )
    devices: list[str] = Field(
        default_factory=list,
        description="such as GPU:0, CPU:0; default: every GPU, else the CPU",
    )
    teacher: bool = True
    consistency: Consistency = Consistency()
    optimizer: AnyOptimizer = AdamW()
    soft_dice: float = Field(
        0.0,
        ge=0,
        description="weight of a soft Dice over candidate sets beside the "
        "cross entropy: for short runs, in which small organs are not found "
        "otherwise; not in the paper",
    )
    l1: float = Field(
        0.0, ge=0, description="times the sum of |w| over convolution kernels"
    )
    l2: float = Field(
        0.0, ge=0, description="times the sum of w^2 over convolution kernels"
    )
    validation: Validation = Validation()
    keep_checkpoints: int = Field(
        2,
        ge=1,
        description="with 1 a damaged one has none before it to go back to",
    )
    images_every_epochs: int = Field(5, ge=1)


class Predict(Declared):
    """Scans -> segmentations."""

    network: Literal["student", "teacher"] = "student"
    window_shape: Triple | None = Field(
        None, description="default: the training patch"
    )
    overlap: float = Field(0.5, ge=0, lt=1)
    windows_per_batch: int = Field(2, ge=1)
    mirror: bool = Field(
        False, description="average with the mirrored scan, labels swapped"
    )
    probabilities: bool = False
    affine: AffineForm | None = Field(
        None,
        description="which form of a NIfTI header decides where sform and "
        "qform disagree (`--inputs`); default: such a scan is refused",
    )
    orientation: Orientation | None = Field(
        None,
        description="where the voxel axes of scans point whose sform and "
        "qform code are 0 (`--inputs`), such as LAS",
    )


class Export(Declared):
    """Run -> SavedModel."""

    onnx: bool = False


class Evaluate(Declared):
    """Predictions against references."""

    tolerance_mm: Positive = Field(
        2.0, description="of the normalised surface distance"
    )
    missing: Literal["error", "zero"] = "error"
    workers: int = Field(2, ge=1)


class Phantom(Declared):
    """The built-in data: made on first use, below `path`."""

    path: PathText = "phantom"
    supine_cases: int = Field(24, ge=1)
    prone_cases: int = Field(24, ge=1)
    shape: Triple = (96, 80, 64)
    spacing_mm: tuple[Positive, Positive, Positive] = (4.0, 4.0, 4.0)
    seed: Seed = 0


class Experiment(Declared):
    """Everything a user declares."""

    label_space: list[LabelEntry] = Field(
        min_length=1,
        max_length=MAX_LABELS,
        description="a list, or the path of a YAML file with one",
    )
    databases: list[Database] = Field(
        min_length=1,
        max_length=MAX_DATABASES,
        description="each inline, or the path of a YAML file",
    )
    records_dir: PathText
    run_dir: PathText
    seed: Seed = 0
    phantom: Phantom | None = None
    preprocess: Preprocess = Preprocess()
    build: Build = Build()
    sampling: Sampling = Sampling()
    augment: Augment = Augment()
    network: Network = Network()
    fit: Fit = Fit()
    predict: Predict = Predict()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()

    def database_named(self, name: str) -> Database:
        """Return a declared database by its name."""
        return next(d for d in self.databases if d.name == name)
