"""The same scan has the same hash, however it is stored."""

import hashlib
import itertools
import struct

import numpy as np
import pytest

from tfpartial.databases import exact_hash
from tfpartial.scans import Volume


def random_scan(seed=0):
    rng = np.random.default_rng(seed)
    array = rng.integers(-1000, 1000, (4, 5, 6)).astype(np.float32)
    affine = np.diag([0.9765625, 0.9765625, 2.5, 1.0])
    affine[:3, 3] = [-100, -120, 40]
    return Volume(array, affine)


def stored_as(volume, order, signs):
    """Permute and flip the axes on disk; the scan in space stays."""
    array, affine = volume.array, volume.affine.copy()
    for axis in range(3):
        if signs[axis] < 0:
            size = array.shape[axis]
            array = np.flip(array, axis)
            affine[:3, 3] += affine[:3, axis] * (size - 1)
            affine[:3, axis] *= -1
    turned = affine.copy()
    turned[:3, :3] = affine[:3, order]
    return Volume(np.transpose(array, order), turned)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_hash_is_that_of_int16_along_k(dtype):
    """Older records are compared by it: it must not change."""
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6, order="F").astype(dtype)
    found = exact_hash(Volume(array, np.diag([1.0, 1.0, 2.0, 1.0])))
    steps = [round(mm / (0.01 * 2**0.5)) for mm in (1, 1, 2)]
    text = f"(4, 5, 6) {steps} ".encode()
    voxels = b"".join(
        struct.pack("<h", i + 4 * j + 20 * k)
        for i in range(4)
        for j in range(5)
        for k in range(6)
    )
    assert found == hashlib.sha256(text + voxels).hexdigest()


def test_values_beyond_int16_are_clipped_and_halves_rounded_to_even():
    one = Volume(np.array([[[-4e4, 4e4, 0.5, 1.5]]]), np.eye(4))
    two = Volume(np.array([[[-32768, 32767, 0, 2]]], np.int16), np.eye(4))
    assert exact_hash(one) == exact_hash(two)


def test_all_48_ways_to_store_a_scan_agree():
    scan = random_scan()
    expected = exact_hash(scan)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            copy = stored_as(scan, list(order), signs)
            assert exact_hash(copy) == expected


def test_an_oblique_scan_agrees_with_its_copies():
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    scan = random_scan()
    oblique = Volume(scan.array, turn @ scan.affine)
    copy = stored_as(oblique, [2, 0, 1], (-1, 1, -1))
    assert exact_hash(copy) == exact_hash(oblique)


def test_origin_dtype_and_float32_affines_do_not_count():
    scan = random_scan()
    moved = scan.affine.astype(np.float32).astype(float)
    moved[:3, 3] += 7
    copy = Volume(scan.array.astype(np.int16), moved)
    assert exact_hash(copy) == exact_hash(scan)


def test_one_unit_in_one_voxel_counts():
    scan = random_scan()
    changed = scan.array.copy()
    changed[1, 2, 3] += 1
    assert exact_hash(Volume(changed, scan.affine)) != exact_hash(scan)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_scan_is_another_scan(axis):
    scan = random_scan()
    mirrored = Volume(np.flip(scan.array, axis), scan.affine)
    assert exact_hash(mirrored) != exact_hash(scan)


def test_spacing_counts():
    scan = random_scan()
    thick = Volume(scan.array, scan.affine @ np.diag([1, 1, 1.2, 1]))
    assert exact_hash(thick) != exact_hash(scan)
