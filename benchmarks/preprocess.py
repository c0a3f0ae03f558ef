"""Read a scan, orient, resample to 2 mm, normalise; and labels back.

    python benchmarks/preprocess.py [--quick]

A scan of 512 x 512 x 100 voxels (.nii.gz, stored as LPS), three ways: our
`read_image`, `preprocess`, `normalise`, `restore_labels`; the same with the
calls of SimpleITK and numpy written down by hand; the same with transforms of
MONAI. All sample on the same canonical grid, all take mean and sd over the
body. Checked: normalised voxels and the labels on the scan's own grid agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
import scans
import SimpleITK as sitk  # noqa: N813

from tfpartial.scans import (
    Grid,
    Volume,
    canonical_grid,
    normalise,
    preprocess,
    read_image,
    restore_labels,
    write_volume,
)

SHAPE, TOY_SHAPE = (512, 512, 100), (48, 40, 30)
SPACING, TOY_SPACING = (0.9766, 0.9766, 3.0), (8.0, 8.0, 8.0)
TARGET_MM = (2.0, 2.0, 2.0)
TOY_TARGET_MM = (10.0, 10.0, 10.0)
WINDOW, BODY_HU = (-200.0, 200.0), -500.0
# Voxels may differ by this much (in sd) without counting: whole HU are
# rounded from float32 on all sides, and a tie may fall either way.
SAME_SD = 0.02
# Share of voxels that may differ more. By hand everything is the same but the
# order of the sums; MONAI repeats the outermost voxels where the grid overhangs
# the scan, where the others have air, and rounds ties of labels otherwise.
DIFFERENT = {"by_hand": 1e-4, "monai": 1e-3}
# Of a toy, and of scans that are small already: their edges are more of them.
DIFFERENT_SMALL = DIFFERENT | {"monai": 0.02}
Result = tuple[np.ndarray, np.ndarray]


class Work:
    """One scan on disk, its canonical grid, and labels to bring back."""

    def __init__(self, folder: Path, quick: bool) -> None:
        shape = TOY_SHAPE if quick else SHAPE
        spacing = TOY_SPACING if quick else SPACING
        self.spacing_mm = TOY_TARGET_MM if quick else TARGET_MM
        scan = (
            scans.phantom_scan(shape, spacing, 0)[0]
            if quick
            else scans.large_scan(shape, spacing)
        )
        stored = scan.array[::-1, ::-1]
        affine = scan.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
        affine[:3, 3] = scan.affine[:3] @ [
            shape[0] - 1, shape[1] - 1, 0, 1
        ]  # fmt: skip
        self.path = folder / "ct.nii.gz"
        write_volume(self.path, Volume(stored, affine))
        self.shape = scan.shape
        self.grid: Grid = canonical_grid(self.shape, affine, self.spacing_mm)
        hu = preprocess(
            read_image(self.path), self.spacing_mm, WINDOW, BODY_HU
        ).hu
        self.labels = (hu > BODY_HU).astype(np.uint8) + (hu > 0) + (hu > 200)

    def ours(self) -> Result:
        """Do it with the package."""
        scan = preprocess(
            read_image(self.path), self.spacing_mm, WINDOW, BODY_HU
        )
        image = normalise(scan.hu, scan.mean, scan.sd, WINDOW)
        back = restore_labels(
            self.labels, scan.grid, scan.source_shape, scan.turned_affine
        )
        return image, back

    def by_hand(self) -> Result:
        """Do it with SimpleITK and numpy, and nothing else."""
        scan = sitk.ReadImage(str(self.path))
        frame = _frame(self.grid)
        resampled = sitk.Resample(
            scan, self.grid.shape, sitk.Transform(), sitk.sitkLinear, *frame,
            -1000.0, sitk.sitkFloat32,
        )  # fmt: skip
        hu = np.rint(sitk.GetArrayViewFromImage(resampled)).astype(np.int16)
        windowed = hu.clip(int(WINDOW[0]), int(WINDOW[1])).astype(np.float32)
        body = windowed[hu > BODY_HU]
        mean, sd = body.mean(dtype=np.float64), body.std(dtype=np.float64)
        image = (windowed - np.float32(mean)) / np.float32(sd)
        labels = sitk.GetImageFromArray(self.labels.T)
        labels.SetOrigin(frame[0])
        labels.SetSpacing(frame[1])
        labels.SetDirection(frame[2])
        back = sitk.Resample(
            labels, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0
        )
        return image.T, sitk.GetArrayFromImage(back).T

    def monai(self) -> Callable[[], Result]:
        """Return the same with MONAI's transforms."""
        import torch
        from monai.data import MetaTensor
        from monai.transforms import (
            Compose,
            EnsureChannelFirst,
            LoadImage,
            Orientation,
            SpatialResample,
        )
        from monai.transforms.utils import convert_applied_interp_mode

        torch.set_num_threads(2)
        read = Compose([LoadImage(image_only=True), EnsureChannelFirst()])
        orient = Orientation("RAS", labels=None)
        # What Spacing calls, on our grid.
        resample = SpatialResample(mode="bilinear", padding_mode="border")
        affine = torch.as_tensor(self.grid.affine)

        def work() -> Result:
            scan = resample(
                orient(read(str(self.path))),
                dst_affine=affine,
                spatial_size=self.grid.shape,
            )
            hu = torch.round(scan)
            body = hu[hu > BODY_HU].clamp(*WINDOW).as_tensor()
            mean, sd = body.mean(), body.std(correction=0)
            image = (hu.clamp(*WINDOW).as_tensor() - mean) / sd
            labels = MetaTensor(
                torch.as_tensor(self.labels)[None].float(),
                affine=scan.affine,
                applied_operations=convert_applied_interp_mode(
                    scan.applied_operations, mode="nearest"
                ),
            )
            back = orient.inverse(resample.inverse(labels))
            return image[0].numpy(), back[0].numpy().astype(np.uint8)

        return work


def _frame(grid: Grid) -> tuple[Any, Any, Any]:
    """Return origin, spacing and direction of a canonical grid, as ITK's.

    ITK's x and y run to the left and to the back.
    """
    turn = np.diag([-1.0, -1.0, 1.0])
    origin = (turn @ grid.affine[:3, 3]).tolist()
    return origin, grid.spacing_mm, turn.ravel().tolist()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    quick = parser.parse_args(arguments).quick
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), quick)
        sides = {"ours": work.ours, "by_hand": work.by_hand}
        if importlib.util.find_spec("monai"):
            sides["monai"] = work.monai()
        checked = differences({name: side() for name, side in sides.items()})
        seconds = measure.in_turn(sides, repeats=2 if quick else 20, warmup=1)
        megabytes = work.path.stat().st_size / 1e6
    targets = [
        measure.Target(
            "ours / SimpleITK and numpy by hand, time",
            measure.ratio(seconds, "ours", "by_hand"),
            1.3,
            at_least=False,
        )
    ]
    if "monai" in seconds:
        targets.append(
            measure.Target(
                "MONAI transforms / ours, time",
                measure.ratio(seconds, "monai", "ours"),
                1.7,
            )
        )
    measure.report(
        "preprocess",
        seconds,
        targets,
        checked,
        scans="phantom" if quick else scans.source(),
        shape=list(work.shape),
        grid=list(work.grid.shape),
        file_megabytes=megabytes,
        skipped=[] if "monai" in seconds else ["monai: not installed"],
    )
    large = not quick and scans.source() == "phantom"
    limits = DIFFERENT if large else DIFFERENT_SMALL
    same = (
        share <= limits[name.split("/")[0]] for name, share in checked.items()
    )
    return int(not all(same))


def differences(results: dict[str, Result]) -> dict[str, float]:
    """Return per side the shares of voxels that differ from ours."""
    image, labels = results["ours"]
    shares = {}
    for name, (other_image, other_labels) in results.items():
        if name == "ours":
            continue
        far = ~(np.abs(other_image - image) <= SAME_SD)  # NaN is far
        shares[f"{name}/image"] = float(far.mean())
        shares[f"{name}/labels"] = float((other_labels != labels).mean())
    return shares


if __name__ == "__main__":
    sys.exit(main())
