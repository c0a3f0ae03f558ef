"""Stored pixel values of one frame, compressed or not, and their HU.

In: a file, its pixel format, where its pixels lie. Out: (rows, columns)
integers as stored.

A header says how large a frame is. That is compared with the file, and with
what the compressed stream itself says, before memory is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    RLELossless,
)

from tfpartial.dicom.reading import (
    UNDEFINED_LENGTH,
    PixelsAt,
    UnusableError,
    number,
    read_all,
    text,
)

MAX_SIDE = 16384
# Pixels of compressed files may be so many times their bytes; small files may
# always have so many pixels: an empty slice is a few bytes of JPEG 2000.
MAX_EXPANSION = 1000
FREE_PIXELS = 2**24


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a file are stored.

    Attributes:
        rows: J.
        columns: I.
        frames: in the file.
        allocated: bits of a pixel in the file: 1, 8, 16 or 32.
        stored: bits of it that count; the others may hold overlays.
        signed: two's complement.
        syntax: the transfer syntax.
    """

    rows: int
    columns: int
    frames: int
    allocated: int
    stored: int
    signed: bool
    syntax: UID

    @property
    def frame_bits(self) -> int:
        """Of one frame that is not compressed; frames of bits have no pad."""
        return self.rows * self.columns * self.allocated

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels as stored."""
        order = ">" if self.syntax == ExplicitVRBigEndian else "<"
        kind = "i" if self.signed else "u"
        return np.dtype(f"{order}{kind}{self.allocated // 8}")


def pixel_format(dataset: Dataset) -> PixelFormat:
    """Return how pixels are stored.

    Raises:
        UnusableError: not one grey value per pixel, or absurd; says which.
    """

    def whole(keyword: str, default: int | None = None) -> int:
        value = number(dataset, keyword)
        if value is None and default is not None:
            return default
        if value is None or value != int(value):
            raise UnusableError(f"no usable {keyword}")
        return int(value)

    meta = getattr(dataset, "file_meta", Dataset())
    found = PixelFormat(
        whole("Rows"),
        whole("Columns"),
        whole("NumberOfFrames", 1),
        whole("BitsAllocated"),
        whole("BitsStored"),
        bool(whole("PixelRepresentation", 0)),
        UID(text(meta, "TransferSyntaxUID") or "1.2.840.10008.1.2"),
    )
    if not found.syntax.is_transfer_syntax:
        raise UnusableError("an unknown transfer syntax")
    if not (1 <= found.rows <= MAX_SIDE and 1 <= found.columns <= MAX_SIDE):
        raise UnusableError(
            f"{found.rows} rows and {found.columns} columns (1 to {MAX_SIDE} "
            "are read)"
        )
    if found.frames < 1:
        raise UnusableError(f"{found.frames} frames")
    if whole("SamplesPerPixel", 1) != 1:
        raise UnusableError("a colour image")
    high = whole("HighBit", found.stored - 1)
    if found.allocated not in (1, 8, 16, 32) or not (
        1 <= found.stored <= found.allocated and high == found.stored - 1
    ):
        raise UnusableError(
            f"{found.stored} of {found.allocated} bits stored up to bit {high}"
        )
    return found


def check_size(form: PixelFormat, at: PixelsAt, file_bytes: int) -> None:
    """Compare what a header says with what the file holds.

    Raises:
        UnusableError: fewer bytes than pixels, or compressed beyond measure.
    """
    needed = (form.frame_bits * form.frames + 7) // 8
    if not form.syntax.is_compressed and at.offset is not None:
        here = min(at.length, file_bytes - at.offset)
        if at.length == UNDEFINED_LENGTH or here < needed:
            raise UnusableError(
                f"{max(here, 0)} of {needed} bytes of pixels (truncated?)"
            )
    elif needed > max(FREE_PIXELS, MAX_EXPANSION * file_bytes):
        raise UnusableError(f"{needed} bytes of pixels in {file_bytes} bytes")


class FrameReader:
    """Reads frames of one file; what must be parsed is parsed once.

    Raises:
        Any exception: damaged; use it within `explain_damage`.
    """

    def __init__(self, path: Path, form: PixelFormat, at: PixelsAt) -> None:
        self._path = path
        self._form = form
        self._at = at
        self._dataset: Dataset | None = None

    def read(self, frame: int) -> np.ndarray:
        """Return (rows, columns) integers of a frame, counted from 0."""
        form = self._form
        if form.syntax.is_compressed or self._at.offset is None:
            return self._decode(frame)
        start, unused = divmod(frame * form.frame_bits, 8)
        offset = self._at.offset + start
        pixels = form.rows * form.columns
        if form.allocated == 1:
            count = (unused + pixels + 7) // 8
            packed = np.fromfile(self._path, np.uint8, count, offset=offset)
            bits = np.unpackbits(packed, bitorder="little")
            values = bits[unused : unused + pixels]
        else:
            values = np.fromfile(self._path, form.dtype, pixels, offset=offset)
        values = values.reshape(form.rows, form.columns)
        return _without_unused_bits(values, form)

    def _decode(self, frame: int) -> np.ndarray:
        if self._dataset is None:
            self._dataset = read_all(self._path)
        form = self._form
        if form.syntax.is_encapsulated:
            stream = get_frame(
                self._dataset.PixelData, frame, number_of_frames=form.frames
            )
            _check_stream(stream, form)
        values = pixel_array(self._dataset, index=frame, raw=True)
        return values.reshape(form.rows, form.columns)


def _without_unused_bits(values: np.ndarray, form: PixelFormat) -> np.ndarray:
    """Clear the bits above those that count; extend the sign over them."""
    unused = form.allocated - form.stored
    if not unused or form.allocated == 1:
        return values
    values = values.astype(values.dtype.newbyteorder("="))
    values <<= unused
    values >>= unused
    return values


def _check_stream(stream: bytes, form: PixelFormat) -> None:
    """Compare the size in a JPEG or JPEG 2000 stream with the header's.

    Decoders reserve what the stream claims.

    Raises:
        UnusableError: they differ.
    """
    if form.syntax == RLELossless:
        return
    size = _size_in(stream)
    if size is not None and size != (form.rows, form.columns):
        raise UnusableError("a stream of another size than the header says")


def _size_in(stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG, JPEG-LS or JPEG 2000 stream."""

    def big(at: int, count: int) -> int:
        return int.from_bytes(stream[at : at + count], "big")

    start = stream.find(b"\xff\x4f\xff\x51", 0, 1024)
    if start >= 0:  # size marker: extent less the offset of the image area
        at = start + 8
        return big(at + 4, 4) - big(at + 12, 4), big(at, 4) - big(at + 8, 4)
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if (
            0xC0 <= marker <= 0xCF
            and marker not in (0xC4, 0xC8, 0xCC)
            or (marker == 0xF7)
        ):
            return big(at + 5, 2), big(at + 7, 2)
        at += 2 + (big(at + 2, 2) if marker != 0xFF else -1)
    return None
