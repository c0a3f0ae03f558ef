"""What a comparison of systems declares: docs/comparison.md.

A *system* is what one column of the results table names: which databases,
which candidate table, which consistency, which dropout, and any other field
of the experiment. A *comparison* is systems x seeds on one experiment.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfpartial.config.base import Declared, PathText, Seed
from tfpartial.labels import Supervision
from tfpartial.models.sizes import Rate

DropoutPlace = Literal["last_two", "all_but_first_two"]
StudentOrTeacher = Literal["student", "teacher"]


class System(Declared):
    """One column of the table: everything in which it may differ."""

    name: str = Field(min_length=1, description="heading of its column")
    databases: Literal["full", "all"] = Field(
        description="train on the fully annotated ones alone, or on all"
    )
    supervision: Supervision = Field(
        "partial",
        description="of the partially annotated databases: partial (Eq. 2), "
        "naive or unlabelled",
    )
    pseudo_labels_of: str | None = Field(
        None,
        description="system whose run of the same seed overwrites stored "
        "background by its predictions of labels that are not annotated",
    )
    consistency: bool = Field(
        False, description="the Mean Teacher's term, Eq. 5"
    )
    dropout: DropoutPlace = "last_two"
    network: StudentOrTeacher = Field(
        "student", description="which one is evaluated"
    )
    overrides: tuple[str, ...] = Field(
        (), description="field=value of the experiment, for this system alone"
    )

    @model_validator(mode="after")
    def _can_be_meant(self) -> System:
        if self.network == "teacher" and not self.consistency:
            raise ValueError("network: teacher needs consistency: true")
        if self.pseudo_labels_of is not None and (
            self.databases == "full" or self.supervision == "unlabelled"
        ):
            raise ValueError(
                "pseudo_labels_of: needs databases: all, and a supervision "
                "that uses labels (naive, or partial)"
            )
        return self

    @property
    def training(self) -> tuple[object, ...]:
        """What decides the training: systems equal in it share their run."""
        return (
            self.databases,
            self.supervision if self.databases == "all" else None,
            self.pseudo_labels_of,
            self.consistency,
            self.dropout,
            self.overrides,
        )


class Dropout(Declared):
    """Rates of the network's last stages, for each place a system names."""

    last_two: list[Rate] = Field([0.5, 0.5], min_length=2, max_length=2)
    all_but_first_two: list[Rate] = Field(min_length=1)


class Comparison(Declared):
    """Systems x seeds on one experiment, and how they are compared."""

    experiment: str = Field(
        description="config of the experiment that all systems share"
    )
    overrides: list[str] = Field(
        default_factory=list,
        description="field=value of the experiment, for all systems alike",
    )
    systems: list[System] = Field(
        min_length=1, description="each inline, or the path of a YAML file"
    )
    full: list[str] = Field(
        min_length=1, description="databases that annotate every label (D1)"
    )
    partial: list[str] = Field(
        default_factory=list, description="databases that leave labels out"
    )
    seeds: list[Seed] = Field([0, 1, 2], min_length=1)
    baseline: str = Field(description="system that the others are tested with")
    tables: dict[str, list[str]] = Field(
        min_length=1, description="name of a table -> systems, its columns"
    )
    dropout: Dropout
    database: str = Field(description="whose scans are evaluated")
    split: Literal["validation", "test"] = "test"
    exclude: dict[str, str] = Field(
        default_factory=dict,
        description="case -> label with a known wrong reference: a second "
        "table is made without it",
    )
    figure_cases: list[str] = Field(
        default_factory=list, description="scans of the figure"
    )
    strategy: Literal["none", "mirrored"] = "mirrored"
    output_dir: PathText

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("each seed once")
        return seeds

    @field_validator("tables")
    @classmethod
    def _tables_are_files(
        cls, tables: dict[str, list[str]]
    ) -> dict[str, list[str]]:
        for name, columns in tables.items():
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(
                    f"'{name}' names files: letters, digits, _ and - only"
                )
            if not columns or len(set(columns)) < len(columns):
                raise ValueError(f"'{name}': one or more systems, each once")
        return tables

    def system(self, name: str) -> System:
        """Return a system by its name."""
        return next(s for s in self.systems if s.name == name)
