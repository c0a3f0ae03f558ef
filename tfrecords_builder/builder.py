"""The tensorflow-datasets builder of one database of records.

In: `Source` (cases in order, where their preprocessed arrays lie).
Out: TFRecord shards, one split each for train, validation and test.
"""

from __future__ import annotations

import itertools
import types
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import writer

from tfpartial.records.schema import (
    FIELDS,
    SCHEMA_VERSION,
    SPLITS,
    TFDS_VERSION,
    Field,
)

Example = dict[str, Any]
# TFDS sorts more than 1 GB of records through 1000 buckets chosen by the
# upper digits of a 128-bit key: keys spread over that range use all of them
# and stay in order, small keys would pile up in one bucket in memory.
_KEY_RANGE = 2**128
# CT shrinks by 4 % more with TFDS' level 6, which takes 2 to 4 times as long
# to write and up to a third longer to read.
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, eq=False)
class SourceCase:
    """One case on its way into records; bitmasks are int64 words."""

    case: str
    split: str
    scan_file: Path
    scan_shape: tuple[int, ...]
    annotated_labels: np.ndarray
    resolved_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Source:
    """One database on its way into records.

    Attributes:
        database: its name.
        cases: in the order of the records.
        stored_value_labels: (V, W) int64.
        block_shape: (3,) voxels.
        hu_window: HU of the intensity statistics.
        body_threshold_hu: HU.
        licence: text shown by TFDS.
        citation: text shown by TFDS.
        workers: threads that compress.
        written: called after each case, for the progress bar.
    """

    database: str
    cases: list[SourceCase]
    stored_value_labels: np.ndarray
    block_shape: tuple[int, int, int]
    hu_window: tuple[float, float]
    body_threshold_hu: float
    licence: str
    citation: str
    workers: int = 2
    written: Callable[[], object] = lambda: None


def features(num_words: int) -> tfds.features.FeaturesDict:
    """Return the TFDS features of a record, from the schema.

    Args:
        num_words: W, 64-bit words of a bitmask.
    """
    return tfds.features.FeaturesDict(
        {field.name: _feature(field, num_words) for field in FIELDS}
    )


def _feature(field: Field, num_words: int) -> Any:
    if field.dtype == "text":
        return tfds.features.Text(doc=field.meaning)
    shape = tuple(num_words if n == "W" else n for n in field.shape)
    encoding = tfds.features.Encoding
    feature = tfds.features.Tensor(
        shape=shape,
        dtype=np.dtype(field.dtype),
        encoding=encoding.ZLIB if field.compressed else encoding.NONE,
        doc=field.meaning,
    )
    if field.compressed:
        # TFDS would compress here, one block at a time; `compressed` did.
        feature.encode_example = lambda example: example
    return feature


def compressed(block: np.ndarray) -> Example:
    """Return a block as TFDS stores it: zlib bytes and shape.

    Args:
        block: (i, j, k) of the dtype of its field.
    """
    # In C order, whatever the order in memory.
    data = zlib.compress(block.tobytes(), _COMPRESSION_LEVEL)
    return {"value": data, "shape": block.shape}


def block_positions(
    scan_shape: tuple[int, ...], block_shape: tuple[int, int, int]
) -> list[tuple[int, int, int]]:
    """Return the first voxel of each block of a scan, in C order."""
    axes = [
        range(0, size, step)
        for size, step in zip(scan_shape, block_shape, strict=True)
    ]
    return list(itertools.product(*axes))  # type: ignore[arg-type]


def records_of_scan(source: Source, case: SourceCase) -> Iterator[Example]:
    """Yield the records of one preprocessed scan, in C order of position."""
    with np.load(case.scan_file) as scan:
        image, labels = scan["image"], scan["labels"]
        fixed: Example = {
            "scan_shape": np.asarray(image.shape, np.int32),
            "spacing_mm": scan["spacing_mm"].astype(np.float32),
            "affine": scan["affine"].astype(np.float64),
            "body_mean_hu": np.float32(scan["mean"]),
            "body_sd_hu": np.float32(scan["sd"]),
        }
    fixed |= {
        "case": case.case,
        "database": source.database,
        "schema_version": np.int64(SCHEMA_VERSION),
        "annotated_labels": case.annotated_labels,
        "resolved_labels": case.resolved_labels,
        "stored_value_labels": source.stored_value_labels,
        "hu_window": np.asarray(source.hu_window, np.float32),
        "body_threshold_hu": np.float32(source.body_threshold_hu),
    }
    num_values = len(source.stored_value_labels)

    def of_block(position: tuple[int, int, int]) -> Example:
        box = tuple(
            slice(first, first + size)
            for first, size in zip(position, source.block_shape, strict=True)
        )
        block, values = image[box], labels[box]
        return fixed | {
            "image": compressed(block),
            "labels": compressed(values),
            "shape": np.asarray(block.shape, np.int32),
            "position": np.asarray(position, np.int32),
            "voxel_counts": np.bincount(values.ravel(), minlength=num_values),
            "body_voxels": np.int64((block > source.body_threshold_hu).sum()),
        }

    # zlib releases the GIL: the blocks are compressed side by side.
    with ThreadPoolExecutor(source.workers) as pool:
        positions = block_positions(image.shape, source.block_shape)
        yield from pool.map(of_block, positions)
    source.written()


class StableWriter(writer.ExampleWriter):
    """Writes shards whose bytes depend on the records alone.

    TFDS serialises the features of a record in the order of a hash map,
    which differs from process to process.
    """

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        """Write (key, serialised example) pairs to one shard."""
        return super().write(
            path, ((key, _in_stable_order(raw)) for key, raw in examples)
        )


def _in_stable_order(serialised: bytes) -> bytes:
    example: Any = tf.train.Example.FromString(serialised)
    return example.SerializeToString(deterministic=True)


class BlockBuilder(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """Writes the records of one database; see `make_builder`."""

    VERSION = tfds.core.Version(TFDS_VERSION)
    source: Source

    def _info(self) -> tfds.core.DatasetInfo:
        # Not dataset_info_from_configs: it looks for files beside the code
        # of a builder that belongs to the TFDS repository.
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                f"CT blocks of database '{self.source.database}' with the "
                "labels that its protocol annotates. Research use only."
            ),
            features=features(self.source.stored_value_labels.shape[1]),
            citation=self.source.citation,
            license=self.source.licence,
            disable_shuffling=True,
        )

    def _example_writer(self) -> writer.ExampleWriter:
        return StableWriter(self.info.file_format)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        present = {case.split for case in self.source.cases}
        return {
            split: self._generate_examples(split)
            for split in SPLITS
            if split in present
        }

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Example]]:
        cases = [case for case in self.source.cases if case.split == split]
        total = sum(
            len(block_positions(case.scan_shape, self.source.block_shape))
            for case in cases
        )
        keys = itertools.count(0, _KEY_RANGE // total)
        for case in cases:
            for record in records_of_scan(self.source, case):
                yield next(keys), record


def make_builder(source: Source, data_dir: Path) -> BlockBuilder:
    """Return a builder whose TFDS name is the name of the database.

    TFDS takes the name from the class, hence one class per database.
    """
    kind = types.new_class(
        "BlockBuilder",
        (BlockBuilder,),
        {"skip_registration": True},
        lambda body: body.update(name=source.database, source=source),
    )
    return kind(data_dir=data_dir)
