"""The strict, frozen base of every declared model."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# What no file name of any system can hold.
_MAX_PATH_BYTES = 4000
_MAX_NAME_BYTES = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Declared(BaseModel):
    """A frozen model that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("expected text without control characters")
    return text


def _usable_path(text: str) -> str:
    _printable(text)
    longest = max(len(os.fsencode(name)) for name in text.split("/"))
    if longest > _MAX_NAME_BYTES or len(os.fsencode(text)) > _MAX_PATH_BYTES:
        raise ValueError(
            f"expected a path of at most {_MAX_PATH_BYTES} bytes and names of "
            f"at most {_MAX_NAME_BYTES}"
        )
    return text


def _inside(text: str) -> str:
    parts = PurePath(text)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError(
            "expected the name of a file inside the case's folder, without "
            "'..' and not absolute"
        )
    return text


# What every generator that it is handed to accepts.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
# A name that people read, in tables and file headers.
Name = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_printable)
]
# A place that the user chose; anywhere.
PathText = Annotated[str, Field(min_length=1), AfterValidator(_usable_path)]
# A place that a declaration chose inside a folder of the user.
InnerPath = Annotated[PathText, AfterValidator(_inside)]
