"""From a scan's own grid to the canonical one, and exactly back.

In: volumes of any orientation. Out: arrays on axis-aligned RAS+ grids, or
label maps back on the scan's grid. The only importer of SimpleITK: it is given
index space (origin 0, spacing 1, no directions) and the map between the two
grids' indices, so RAS against LPS never arises, and (i, j, k) becomes ITK's
(x, y, z) by the transposition below.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813

from tfpartial.errors import InputError
from tfpartial.scans.orientation import (
    closest_to_ras,
    invert_directions,
    split_affine,
)
from tfpartial.scans.volume import Grid, Volume

MAX_VOXELS = 2**30
# A grid may have 64 voxels for one of the scan (8 mm to 2 mm); beyond, its
# header is wrong. Small scans may always have so many:
FREE_VOXELS = 2**24
MAX_FINER = 64
# A grid that would be overhung by less than this share of a voxel is not
# extended by a voxel: absorbs rounding of extent / spacing.
OVERHANG_VOXELS = 0.01
# Grids whose centres differ by less are concentric; a float32 origin of 500 mm
# is off by 3e-5 mm.
CONCENTRIC_VOXELS = 1e-3
# Nearest neighbour: a sample halfway between two voxels takes the one with the
# higher RAS index, whatever the last bit of the coordinate.
TIE_VOXELS = 1e-6


def canonical_grid(
    shape: tuple[int, int, int],
    affine: np.ndarray,
    spacing_mm: tuple[float, float, float],
    name: str = "the scan",
) -> Grid:
    """Return the axis-aligned RAS+ grid that covers a scan.

    The grid is centred on the scan's centre and covers the bounding box of
    its voxel *edges*.

    Formula:
        extent = |affine[:3, :3]| @ shape              (mm along x, y, z)
        n = max(1, ceil(extent / spacing - 0.01))

    Args:
        shape: (I, J, K) of the scan.
        affine: (4, 4) of the scan, voxel -> RAS+ mm.
        spacing_mm: spacing of the new grid along x, y, z.
        name: what messages call the scan, usually its path.

    Returns:
        Grid with affine diag(spacing) + origin. Equal spacing and an axis
        aligned scan give the scan's own grid.

    Raises:
        InputError: unusable affine, or a grid of more than 2^30 voxels, or of
            more than 64 for one of the scan (and 2^24).
    """
    directions, own_mm = split_affine(affine, name)
    spacing = np.asarray(spacing_mm, np.float64)
    extent = np.abs(directions * own_mm) @ np.asarray(shape, np.float64)
    count = np.ceil(extent / spacing - OVERHANG_VOXELS).clip(1)
    own_voxels = float(np.prod(np.asarray(shape, np.float64)))
    limit = min(MAX_VOXELS, max(FREE_VOXELS, MAX_FINER * own_voxels))
    if count.prod() > limit:
        raise InputError(
            f"{name}: a scan of {extent.round(1).tolist()} mm at "
            f"{spacing.tolist()} mm: expected at most {limit:.3g} voxels, "
            f"found {count.prod():.3g}. Correct its header or coarsen "
            "spacing_mm."
        )
    canonical = np.diag([*spacing, 1.0])
    centre = _centre_mm(Grid(shape, affine))
    canonical[:3, 3] = centre - spacing * (count - 1) / 2
    i, j, k = count.astype(int)
    return Grid((int(i), int(j), int(k)), canonical)


def resample_image(
    volume: Volume, grid: Grid, fill: float = -1000.0
) -> np.ndarray:
    """Resample intensities, trilinearly, without antialiasing.

    Args:
        volume: (I, J, K) of any real dtype.
        grid: where to sample; any orientation.
        fill: value outside of the scan's voxel edges. Between the outermost
            voxel centres and the edges the outermost values are repeated.

    Returns:
        float32 of grid.shape.

    Raises:
        InputError: an unusable affine.
    """
    resampled = _resample(
        volume.array, volume.grid, grid, sitk.sitkLinear, sitk.sitkFloat32, fill
    )
    return np.ascontiguousarray(resampled)


def resample_labels(volume: Volume, grid: Grid, fill: int) -> np.ndarray:
    """Resample labels by nearest neighbour: no value is invented.

    Args:
        volume: (I, J, K) integers.
        grid: where to sample; any orientation.
        fill: label outside of the scan's voxel edges.

    Returns:
        the dtype of volume.array, of grid.shape. Halfway between two voxels
        the one with the higher index along x, y, z (RAS+) wins.

    Raises:
        InputError: an unusable affine.
        ValueError: the dtype is not an integer or cannot hold fill.
    """
    return np.ascontiguousarray(_nearest(volume, grid, fill))


def restore_labels(
    labels: np.ndarray,
    grid: Grid,
    shape: tuple[int, int, int],
    affine: np.ndarray,
) -> np.ndarray:
    """Bring labels from the canonical grid back onto the scan's own voxels.

    Args:
        labels: integers of grid.shape.
        grid: the canonical grid they lie on.
        shape: (I, J, K) of the scan.
        affine: (4, 4) of the scan; the *turned* one where it was turned.

    Returns:
        the dtype of labels, of shape; nearest neighbour. In memory as files
        store voxels, I fastest.

    Raises:
        InputError: an unusable affine.
    """
    return _nearest(Volume(labels, grid.affine), Grid(shape, affine), fill=0)


def _nearest(volume: Volume, grid: Grid, fill: int) -> np.ndarray:
    dtype = volume.array.dtype
    if dtype.kind not in "iu":
        raise ValueError(f"labels: expected integers, received {dtype}.")
    if not np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
        raise ValueError(f"fill: {fill} does not fit {dtype}.")
    return _resample(
        volume.array,
        volume.grid,
        grid,
        sitk.sitkNearestNeighbor,
        sitk.sitkUnknown,
        fill,
    )


def _centre_mm(grid: Grid) -> np.ndarray:
    middle = (np.asarray(grid.shape, np.float64) - 1) / 2
    return grid.affine[:3, :3] @ middle + grid.affine[:3, 3]


def index_map(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return (matrix, offset): source index = matrix @ target index + offset.

    Written about the two centres, which coincide for a scan and its canonical
    grid: the map then depends on shapes and spacings alone, and copies of one
    scan stored with other axes give the same numbers to the last bit.

    Args:
        source: the grid that has values.
        target: the grid that wants them.

    Returns:
        matrix (3, 3) and offset (3,), float64, in voxels.
    """
    from_directions, from_mm = split_affine(source.affine)
    to_directions, to_mm = split_affine(target.affine)
    inverse = invert_directions(from_directions)
    matrix = (inverse @ to_directions) * (to_mm[None, :] / from_mm[:, None])
    apart = inverse @ (_centre_mm(target) - _centre_mm(source))
    apart /= from_mm
    apart[np.abs(apart) < CONCENTRIC_VOXELS] = 0.0
    source_middle = (np.asarray(source.shape, np.float64) - 1) / 2
    target_middle = (np.asarray(target.shape, np.float64) - 1) / 2
    return matrix, source_middle + apart - matrix @ target_middle


def _resample(
    array: np.ndarray,
    source: Grid,
    target: Grid,
    interpolator: int,
    pixel_type: int,
    fill: float,
) -> np.ndarray:
    # Both sides are brought to the same axis order first: ties and rounding
    # then do not depend on how a file stores its axes.
    from_order = closest_to_ras(split_affine(source.affine)[0])
    to_order = closest_to_ras(split_affine(target.affine)[0])
    target = to_order.apply_to_grid(target)
    matrix, offset = index_map(from_order.apply_to_grid(source), target)
    if interpolator == sitk.sitkNearestNeighbor:
        offset = offset + TIE_VOXELS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix.ravel().tolist())
    transform.SetTranslation(offset.tolist())
    resampled = sitk.Resample(
        _to_itk(from_order.apply(array)),
        target.shape,
        transform,
        interpolator,
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        np.eye(3).ravel().tolist(),
        fill,
        pixel_type,
    )
    restored = to_order.undo(sitk.GetArrayViewFromImage(resampled).T)
    # A copy always: the view dies with the ITK image. In ITK's own order, a
    # transposition takes longer than the resampling.
    return np.array(restored, order="K")


def _to_itk(array: np.ndarray) -> sitk.Image:
    """Hand (i, j, k) to ITK as (x, y, z): numpy's (z, y, x) transposed."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype in (np.bool_, np.float16):
        native = native.astype(np.uint8 if native.dtype == bool else np.float32)
    return sitk.GetImageFromArray(np.ascontiguousarray(native.T))
