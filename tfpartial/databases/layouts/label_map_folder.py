"""Layout label_map_folder: a folder per case with a scan and a label map.

In: a folder of folders. Out: a source per case. The file names are `image`,
`label_map` and `field_of_view` of the config; other files are left alone.
"""

from __future__ import annotations

from tfpartial.config.database import Database, composed
from tfpartial.databases.layouts.base import Layout, case_folders, find_file
from tfpartial.databases.layouts.dataset_json import stored_integers
from tfpartial.databases.sources import LabelMapFile, ScanSource
from tfpartial.errors import Faults


def find(database: Database, faults: Faults) -> dict[str, ScanSource]:
    """Return case id -> source; the keys of `values` are integers."""
    integer_of = stored_integers(database, faults)
    return {
        composed(folder.name): LabelMapFile(
            find_file(folder, database.image, own),
            label_map=find_file(folder, database.label_map, own),
            integer_of=integer_of,
            field_of_view=field_of_view,
        )
        for folder, field_of_view, own in case_folders(database, faults)
    }


LAYOUT = Layout(
    "label_map_folder",
    find,
    fields=frozenset({"image", "label_map", "field_of_view"}),
)
