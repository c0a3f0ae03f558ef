"""Damaged and hostile DICOM: one fault that names the file, little memory."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import tracemalloc
import zlib

import made_dicom as made
import numpy as np
import pytest

from tfpartial.dicom import find_series, read_segments, read_structures
from tfpartial.errors import InputError

SHAPE = (12, 10, 4)
HU = made.random_hu(SHAPE)
PLACE = made.PLACES["oblique"]
SQUARE = [(2, 2), (8, 2), (8, 8), (2, 8)]
MEMORY = 32 * 2**20


@pytest.fixture
def series(tmp_path):
    (found,) = find_series(made.write_series(tmp_path / "good", HU, PLACE))
    return found


def read_image(path, series):
    (found,) = find_series(path)
    found.read()


def read_plan(path, series):
    structures = read_structures(path, series)
    for name in structures.names:
        structures.mask(name)


def read_seg(path, series):
    found = read_segments(path, series)
    for segment in found.segments:
        found.mask(segment.number)


def image(**changes):
    one = made.series_files(HU, PLACE)[0]
    for keyword, value in changes.items():
        setattr(one, keyword, value)
    return one


def compressed(syntax="1.2.840.10008.1.2.4.90"):
    one = made.series_files(made.random_hu((40, 34, 1)), PLACE)[0]
    one.compress(syntax)
    return one


def plan():
    return made.structure_set({"A": [made.contour(SQUARE, PLACE, 1)]})


def segments():
    frames = [((HU[..., k] > 0), k, 1) for k in range(4)]
    return made.segmentation("BINARY", frames, PLACE, ["A"])


def refused(path, series, read) -> str:
    """The one fault of a file; little memory, nothing identifying."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            read(path, series)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    (fault,) = error.value.faults
    assert str(path) in fault
    assert "Doe" not in fault
    return fault


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Rows": 65535, "Columns": 65535}, "65535 rows"),
        ({"Rows": 0}, "0 rows"),
        ({"Rows": 16000, "Columns": 16000}, "bytes of pixels"),
        ({"NumberOfFrames": 2**31 - 1}, "2147483647 frames"),
        ({"BitsStored": 40}, "40 of 16 bits"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing"),
        ({"PixelSpacing": [1]}, "PixelSpacing of other than 2"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"ImagePositionPatient": [1e30, 0, 0]}, "kilometre"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "right angles"),
        ({"ImageOrientationPatient": [0] * 6}, "right angles"),
        ({"RescaleSlope": 0}, "RescaleSlope"),
        ({"RescaleIntercept": 1e12}, "RescaleIntercept"),
    ],
)
def test_absurd_images_are_refused(tmp_path, series, changes, words):
    path = tmp_path / "one"
    image(**changes).save_as(path)
    assert words in refused(path, series, read_image)


def test_images_of_one_series_with_one_fault_are_told_once(tmp_path, series):
    files = made.series_files(HU, PLACE)
    for one in files:
        del one.PixelSpacing
    made.write(files, tmp_path / "bad")
    fault = refused(tmp_path / "bad", series, read_image)
    assert "and 3 more" in fault


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (image, read_image),
        (compressed, read_image),
        (lambda: made.enhanced(HU, PLACE, [0, 2, 1, 3]), read_image),
        (plan, read_plan),
        (segments, read_seg),
    ],
)
def test_cut_anywhere_a_file_is_refused(tmp_path, series, make, read):
    path = tmp_path / "cut"
    make().save_as(path)
    data = path.read_bytes()
    read(path, series)
    for length in random.Random(0).sample(range(200, len(data) - 24), 25):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            read(path, series)


def with_wrong_vr(path, tag: bytes, vr: bytes) -> None:
    data = path.read_bytes()
    at = data.index(tag)
    path.write_bytes(data[: at + 4] + vr + data[at + 6 :])


@pytest.mark.parametrize(
    ("make", "tag", "read"),
    [
        (image, b"\x28\0\x10\0US", read_image),
        (image, b"\x28\0\x30\0DS", read_image),
        (image, b"\x20\0\x32\0DS", read_image),
        (plan, b"\x06\x30\x50\0DS", read_plan),
    ],
)
@pytest.mark.parametrize("vr", [b"PN", b"FD", b"SQ"])
def test_a_wrong_kind_of_value_is_refused(
    tmp_path, series, make, tag, read, vr
):
    path = tmp_path / "vr"
    make().save_as(path)
    with_wrong_vr(path, tag, vr)
    refused(path, series, read)


def test_points_that_are_not_there_are_refused(tmp_path, series):
    one = plan()
    item = one.ROIContourSequence[0].ContourSequence[0]
    item.NumberOfContourPoints = 2**31 - 1
    one.save_as(tmp_path / "rs")
    assert "4 points where" in refused(tmp_path / "rs", series, read_plan)


@pytest.mark.parametrize("value", ["nan", "1e30", "x"])
def test_coordinates_that_are_none_are_refused(tmp_path, series, value):
    path = tmp_path / "rs"
    plan().save_as(path)
    data = path.read_bytes()
    at = data.index(b"\x06\x30\x50\0DS") + 8
    path.write_bytes(
        data[:at] + value.encode().ljust(5) + b"\\" + data[at + 6 :]
    )
    refused(path, series, read_plan)


def test_a_claimed_length_reserves_no_memory(tmp_path, series):
    path = tmp_path / "rs"
    plan().save_as(path)
    data = path.read_bytes()
    at = data.index(b"\x06\x30\x39\0SQ") + 8
    path.write_bytes(data[:at] + struct.pack("<I", 2**32 - 2) + data[at + 4 :])
    refused(path, series, read_plan)


def test_a_deflated_file_grows_within_measure(tmp_path, series, monkeypatch):
    monkeypatch.setattr("tfpartial.dicom.reading.MAX_INFLATED_BYTES", 2**22)
    one = image()
    one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    path = tmp_path / "deflated"
    one.save_as(path, enforce_file_format=True)
    read_image(path, series)
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = pack.compress(b"\0" * 2**27) + pack.flush()
    path.write_bytes(data[:start] + bomb)
    assert "beyond measure" in refused(path, series, read_image)


def test_a_stream_larger_than_its_header_is_not_decoded(tmp_path, series):
    one = compressed()
    path = tmp_path / "j2k"
    one.save_as(path)
    data = path.read_bytes()
    at = data.index(b"\xff\x4f\xff\x51") + 8
    huge = struct.pack(">II", 60000, 60000)
    path.write_bytes(data[:at] + huge + data[at + 8 :])
    assert "another size" in refused(path, series, read_image)


def test_a_structure_set_is_no_image_and_an_image_no_plan(tmp_path, series):
    plan().save_as(tmp_path / "rs")
    image().save_as(tmp_path / "ct")
    assert "structure set" in refused(tmp_path / "rs", series, read_image)
    refused(tmp_path / "ct", series, read_plan)
    refused(tmp_path / "ct", series, read_seg)
    refused(tmp_path / "rs", series, read_seg)


def test_a_pipe_is_not_waited_for(tmp_path, series):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refused(tmp_path / "pipe", series, read_plan)


@pytest.mark.parametrize("seed", range(3))
def test_changed_bytes_end_in_a_fault_or_a_result(tmp_path, series, seed):
    rng = random.Random(seed)
    path = tmp_path / "x"
    for make, read in (
        (image, read_image),
        (compressed, read_image),
        (plan, read_plan),
        (segments, read_seg),
    ):
        make().save_as(path)
        good = path.read_bytes()
        for _ in range(25):
            bad = bytearray(good)
            at = rng.randrange(132, min(len(bad), 2500) - 4)
            bad[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\0\0", rng.randbytes(4)]
            )
            path.write_bytes(bad)
            with contextlib.suppress(InputError):
                read(path, series)


def test_contours_of_many_points_need_little_memory(tmp_path, series):
    """A zigzag of 60,000 edges, each across every row."""
    zigzag = np.empty((60_000, 2))
    zigzag[:, 0] = np.linspace(0, 11, len(zigzag))
    zigzag[::2, 1], zigzag[1::2, 1] = -5, 50
    made.structure_set({"A": [made.contour(zigzag, PLACE, 1)]}).save_as(
        tmp_path / "rs"
    )
    structures = read_structures(tmp_path / "rs", series)
    tracemalloc.start()
    structures.mask("A")
    assert tracemalloc.get_traced_memory()[1] < 2 * MEMORY
    tracemalloc.stop()
