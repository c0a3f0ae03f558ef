"""Folder layouts: one file each, and one entry of `LAYOUTS`.

In: `layout` of a declared database. Out: the `Layout` that finds its cases
(docs/extending/layout.md).
"""

from __future__ import annotations

from tfpartial.config.database import Database
from tfpartial.databases.layouts import (
    label_map_folder,
    mask_folder,
    msd,
    nnunet_raw,
)
from tfpartial.databases.layouts.base import Layout
from tfpartial.errors import InputError, did_you_mean

LAYOUTS: list[Layout] = [
    nnunet_raw.LAYOUT,
    msd.LAYOUT,
    label_map_folder.LAYOUT,
    mask_folder.LAYOUT,
]


def layout_of(database: Database) -> Layout:
    """Return the layout that a database declares.

    Raises:
        InputError: no such layout.
    """
    known = {layout.name: layout for layout in LAYOUTS}
    if database.layout not in known:
        raise InputError(
            f"database '{database.name}': 'layout': expected one of "
            f"{', '.join(known)}, found '{database.layout}'."
            + did_you_mean(database.layout, known)
            + " Correct it."
        )
    return known[database.layout]
