"""Folders of scans and masks -> cases with stored codes, and their splits.

In: a `Database` of the config (layout, values, protocol) and its files.
Out: `Case` lists, native-grid image and stored-code volumes, splits.
Before: tfpartial.config (what is declared), tfpartial.scans (formats).
After: tfrecords_builder writes them as records; evaluation reads references.
"""

from tfpartial.databases.all_cases import (
    cases_of_split,
    check_database_names,
    find_all_cases,
)
from tfpartial.databases.cases import Case, find_cases
from tfpartial.databases.exact_hash import exact_hash
from tfpartial.databases.patients import patient_of
from tfpartial.databases.read import read_case
from tfpartial.databases.sources import ImageSource, ScanFile, ScanSource
from tfpartial.databases.splits import Split, split_cases
from tfpartial.databases.stored_values import (
    StoredValues,
    check_declared_labels_occur,
    stored_values,
)

__all__ = [
    "Case",
    "ImageSource",
    "ScanFile",
    "ScanSource",
    "Split",
    "StoredValues",
    "cases_of_split",
    "check_database_names",
    "check_declared_labels_occur",
    "find_all_cases",
    "exact_hash",
    "find_cases",
    "patient_of",
    "read_case",
    "split_cases",
    "stored_values",
]
