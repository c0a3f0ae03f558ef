"""docs/databases.md: every YAML example is accepted as it stands."""

import re
from pathlib import Path

import pytest
import yaml

from tfpartial.config.database import Database
from tfpartial.config.experiment import Build
from tfpartial.databases import stored_values
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.labels import Label, LabelSpace

PAGE = Path(__file__).parents[2] / "docs" / "databases.md"
EXAMPLES = [
    yaml.safe_load(block)
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
]
DATABASES = [e for e in EXAMPLES if "layout" in e]
SPACE = LabelSpace(
    tuple(
        map(
            Label,
            ("liver", "tumour", "spleen", "kidney_left", "kidney_right"),
        )
    )
)


def test_every_layout_has_an_example():
    layouts = {example["layout"] for example in DATABASES}
    assert layouts == {
        "nnunet_raw",
        "msd",
        "label_map_folder",
        "mask_folder",
    }


@pytest.mark.parametrize("example", DATABASES, ids=lambda e: e["name"])
def test_examples_are_accepted(example):
    database = Database.model_validate(example)
    stored = stored_values(database, SPACE)
    assert annotated_labels(database, stored, SPACE)[0]


def test_the_example_of_splits_is_accepted():
    (example,) = [e for e in EXAMPLES if "build" in e]
    assert Build.model_validate(example["build"]).splits.file
