"""DICOM files opened with care: what pydicom makes of them, or one fault.

In: paths. Out: pydicom data sets; numbers and texts of their elements. Every
other module of this room opens files here alone.

pydicom converts values when they are asked for, warns with what it found, and
raises nearly anything on damaged bytes. `explain_damage` is put around both:
messages name the file and the element, never a value (it may name a patient).
"""

from __future__ import annotations

import io
import logging
import os
import stat
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom import Dataset, config
from pydicom.datadict import (
    dictionary_VR,
    keyword_for_tag,
    tag_for_keyword,
)
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tfpartial.errors import InputError

PIXEL_DATA = 0x7FE00010
UNDEFINED_LENGTH = 0xFFFFFFFF
# Structure sets of whole bodies have 50 MiB; beyond, a length is wrong.
MAX_INFLATED_BYTES = 2**30
# Every data set begins with one of these groups, little endian.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
# Elements whose length has four bytes in explicit VR: 12 bytes before it.
_LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT"}
_CHUNK_BYTES = 2**20
MAX_BUFFERED_BYTES = 2**22


@dataclass(frozen=True)
class PixelsAt:
    """Where the pixels of a file lie.

    Attributes:
        offset: of the first byte; None where the file is deflated.
        length: in bytes; `UNDEFINED_LENGTH` where they are compressed.
    """

    offset: int | None
    length: int


class UnusableError(ValueError):
    """What a file says cannot be used; the words are ours, not the file's."""


@contextmanager
def explain_damage(path: Path, what: str) -> Iterator[None]:
    """Turn whatever damaged bytes raise in the body into one fault.

    Args:
        path: the file that the body reads or converts values of.
        what: it should be, such as "a CT image".

    Raises:
        InputError: in place of any other exception but a lack of memory.
    """
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except (InputError, MemoryError):
        raise
    except UnusableError as error:
        raise InputError(
            f"{path}: expected {what}, found {error}. Export it again."
        ) from None
    except Exception as error:  # pydicom and its decoders raise anything
        if isinstance(error, OSError) and error.strerror:
            raise InputError(
                f"{path}: expected {what}, found: {error.strerror}. Check the "
                "path and the permissions."
            ) from None
        raise InputError(
            f"{path}: expected {what}, found a file that is truncated or "
            f"damaged ({type(error).__name__}). Copy or export it again."
        ) from None


def is_dicom(path: Path) -> bool:
    """Tell whether a file begins as DICOM does, whatever its name.

    With "DICM" after 128 bytes, or, as old exports do, at once with the first
    element of a data set.

    Raises:
        OSError: it cannot be opened.
    """
    with _open(path) as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    return start[:2] in _FIRST_GROUPS and start[2:4] in (b"\x00\x00", b"\x05\0")


def read_header(path: Path) -> tuple[Dataset, PixelsAt | None]:
    """Return the elements before the pixels, and where the pixels lie.

    Contours (group 3006) are left out as well.

    Raises:
        Any exception: damaged; call it within `explain_damage`.
    """
    at: list[tuple[str | None, int]] = []

    def at_the_end(tag: BaseTag, vr: str | None, length: int) -> bool:
        plain = int(tag)  # comparisons of pydicom's tags are slow
        if plain == PIXEL_DATA:
            at.append((vr, length))
        return plain >= PIXEL_DATA or 0x30060010 <= plain <= 0x3006FFFF

    with _open(path) as file:
        dataset = _parse(file, at_the_end)
        if not at:
            return dataset, None
        vr, length = at[-1]
        if _is_deflated(dataset):
            return dataset, PixelsAt(None, length)
        return dataset, PixelsAt(
            file.tell() + (12 if vr in _LONG_VRS else 8), length
        )


def read_all(path: Path) -> Dataset:
    """Return every element of a file.

    Raises:
        Any exception: damaged; call it within `explain_damage`.
    """
    with _open(path) as file:
        return _parse(file, None)


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return one finite number; None: absent or empty.

    Raises:
        ValueError: not numbers.
        UnusableError: another count of values, or not finite.
    """
    values = numbers(dataset, keyword)
    if values is None:
        return None
    (value,) = values
    return float(value)


def numbers(
    dataset: Dataset, keyword: str, count: int = 1
) -> np.ndarray | None:
    """Return (count,) finite float64 of an element; None: absent or empty.

    Raises:
        ValueError: not numbers.
        UnusableError: another count of values, or not finite.
    """
    plain = _plain_text(dataset, keyword, ("DS", "IS"))
    value = dataset.get(keyword) if plain is None else plain.split(b"\\")
    if value is None or value == "" or value == [b""]:
        return None
    values = np.array(np.atleast_1d(value), np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise UnusableError(f"a {keyword} of other than {count} numbers")
    return values


def text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text without blanks around; "" where absent."""
    plain = _plain_text(dataset, keyword, ("UI", "CS"))
    if plain is not None:
        return plain.decode("ascii")
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")


def _plain_text(
    dataset: Dataset, keyword: str, kinds: tuple[str, ...]
) -> bytes | None:
    """Return an element's bytes where they are text of these kinds (VR).

    pydicom takes ten times as long to make objects of them. None: of another
    kind, or converted already.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None
    element = dataset.get_item(tag)
    if not isinstance(element, RawDataElement):
        return None
    kind = element.VR or dictionary_VR(element.tag)
    return (element.value or b"").strip(b"\0 ") if kind in kinds else None


def first_item(dataset: Dataset, keyword: str) -> Dataset:
    """Return the first item of a sequence; an empty one where there is none."""
    items = dataset.get(keyword)
    return items[0] if items else Dataset()


def decimals(dataset: Dataset, tag: int) -> np.ndarray:
    """Return the numbers of a long decimal string (VR DS), quickly.

    pydicom makes an object of each; structure sets have a million.

    Raises:
        ValueError: not numbers, or not finite.
    """
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement) and element.VR in (None, "DS", "UN"):
        raw = element.value or b""
        parts = raw.strip(b"\0 ").split(b"\\") if raw.strip(b"\0 ") else []
        values = np.array(parts, np.bytes_).astype(np.float64)
    else:
        found = dataset.get(keyword_for_tag(tag))
        values = np.atleast_1d(
            np.asarray([] if found is None else found, np.float64)
        )
    if not np.isfinite(values).all():
        raise ValueError("expected finite numbers.")
    return values


def _open(path: Path) -> BinaryIO:
    """Open a file whose reader cannot be made to ask for more than it holds.

    Raises:
        OSError: not there, not readable, or no regular file.
    """
    # A pipe would make its reader wait for a writer.
    raw = io.FileIO(
        path, opener=lambda name, _: os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    )
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raw.close()
        raise OSError(0, "a pipe or a device")
    if os.fstat(raw.fileno()).st_size > MAX_BUFFERED_BYTES:
        return _Clipped(raw)
    with raw:  # pydicom reads a few bytes at a time
        return io.BytesIO(raw.readall())


class _Clipped(io.BufferedReader):
    """Reads no more than is there: Python reserves what a header claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _CHUNK_BYTES:
            left = os.fstat(self.fileno()).st_size - self.tell()
            size = max(0, min(size, left))
        return super().read(size)


def _parse(
    file: BinaryIO, stop: Callable[[BaseTag, str | None, int], bool] | None
) -> Dataset:
    """Return the elements up to where `stop` says so.

    Raises:
        EOFError: an element has fewer bytes than it claims: pydicom would
            leave out what follows without a word.
    """
    _check_inflated(file)
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        dataset = read_partial(file, stop, force=True)
    finally:
        logger.disabled = was_disabled
    for element in dataset.values():
        if isinstance(element, RawDataElement) and _is_cut(element):
            raise EOFError
    return dataset


def _is_cut(element: RawDataElement) -> bool:
    return element.length != UNDEFINED_LENGTH and (
        len(element.value or b"") < element.length
    )


def _check_inflated(file: BinaryIO) -> None:
    """Refuse a deflated file that grows beyond measure, before it does.

    Raises:
        UnusableError: it does.
        zlib.error: damaged.
    """
    start = file.read(1024)
    file.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in start:
        return
    file.seek(_end_of_meta(start))
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := inflater.unconsumed_tail or file.read(_CHUNK_BYTES):
        inflated += len(inflater.decompress(chunk, _CHUNK_BYTES))
        if inflated > MAX_INFLATED_BYTES:
            raise UnusableError("deflated beyond measure")
    file.seek(0)


def _end_of_meta(start: bytes) -> int:
    """Return where group 0002 ends: always explicit VR, little endian."""
    at = 132 if start[128:132] == b"DICM" else 0
    while start[at : at + 2] == _FIRST_GROUPS[0]:
        if start[at + 4 : at + 6].decode("ascii", "replace") in _LONG_VRS:
            at += 12 + int.from_bytes(start[at + 8 : at + 12], "little")
        else:
            at += 8 + int.from_bytes(start[at + 6 : at + 8], "little")
    return at


def _is_deflated(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", Dataset())
    return text(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
