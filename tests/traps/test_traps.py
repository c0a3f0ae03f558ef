"""Traps 3 to 9 of README.md; 1 and 2 are in tests/losses.

Every check passes on the real code and fails, in the words given here, on the
real code with one mistake in it. README.md beside this file is the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mutants import database_mutants as database
from mutants import evaluation_mutants as evaluation
from mutants import grid_mutants as grid
from mutants import mirror_mutants as mirror
from mutants import training_mutants as training
from mutants import window_mutants as window
from traps import file_checks as files
from traps import tensor_checks as tensors

Check = Callable[[Path], None]
Mutant = Callable[[pytest.MonkeyPatch], None]

TRAPS: list[tuple[int, Check, Mutant, str]] = [
    (3, tensors.check_consistency_is_in_the_cost,
     training.consistency_never_added, "the cost lacks 10.0 times"),
    (3, tensors.check_consistency_is_in_the_cost,
     training.consistency_weight_hard_coded, "the cost lacks 0.0 times"),
    (3, tensors.check_consistency_is_in_the_cost,
     training.consistency_without_gradient, "has no gradient"),
    (3, tensors.check_decay_is_that_of_the_config,
     training.decay_hard_coded, "the teacher's decay is not 0.0"),
    (4, tensors.check_augmentation_swaps_sides,
     mirror.augmentation_without_swap, r"is still \['kidney_left'\]"),
    (4, tensors.check_augmentation_swaps_sides,
     mirror.pairs_forgotten, r"is still \['kidney_left'\]"),
    (4, tensors.check_test_time_mirroring_swaps_sides,
     mirror.tta_without_swap, "mixed up with mirror=True"),
    (4, tensors.check_test_time_mirroring_swaps_sides,
     mirror.pairs_forgotten, "mixed up with mirror=True"),
    (5, files.check_database_is_the_declared_one,
     database.database_from_folder, r"has the label set \['bone', 'left'"),
    (5, files.check_database_is_the_declared_one,
     database.database_from_prefix, r"has the label set \['bone', 'left'"),
    (6, tensors.check_window_weights_sum_to_one,
     window.weights_unnormalised, "1 comes back as"),
    (6, tensors.check_window_weights_sum_to_one,
     window.divided_by_count, "1 comes back as"),
    (6, tensors.check_window_weights_sum_to_one,
     window.interior_normaliser, "1 comes back as"),
    (7, files.check_missing_prediction_is_refused,
     evaluation.missing_case_left_out, "passes silently"),
    (7, files.check_missing_prediction_counts,
     evaluation.missing_case_left_out, r"is 1.0 over 1 case\(s\)"),
    (7, files.check_only_annotated_labels_are_averaged,
     evaluation.every_label_scored, "scored are .*'left', 'right'"),
    (8, files.check_reference_grid,
     grid.grids_warned_of, "half a voxel: reference accepted"),
    (8, files.check_reference_grid,
     grid.affine_warned_of, "half a voxel: reference accepted"),
    (8, files.check_reference_grid,
     grid.shape_warned_of, "one slice less: reference accepted"),
    (8, files.check_prediction_grid,
     grid.grids_warned_of, "half a voxel: prediction accepted"),
    (8, files.check_prediction_grid,
     grid.affine_warned_of, "half a voxel: prediction accepted"),
    (8, files.check_prediction_grid,
     grid.shape_warned_of, "one slice less: prediction accepted"),
    (9, files.check_copy_of_a_test_scan,
     database.duplicates_by_name, "stored as RAS is trained on"),
    (9, files.check_copy_of_a_test_scan,
     database.duplicates_within_database, "stored as RAS is trained on"),
    (9, files.check_copy_of_a_test_scan,
     database.duplicates_warned_of, "stored as RAS is trained on"),
    (9, files.check_turned_copy_of_a_test_scan,
     database.hash_of_stored_order, "stored as PLI is trained on"),
]  # fmt: skip
CHECKS = {check: trap for trap, check, _, _ in TRAPS}


@pytest.mark.parametrize(
    "check", CHECKS, ids=[f"trap{n}-{c.__name__}" for c, n in CHECKS.items()]
)
def test_the_code_passes(check: Check, tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize(
    ("check", "mutant", "words"),
    [row[1:] for row in TRAPS],
    ids=[f"trap{n}-{m.__name__}-{c.__name__}" for n, c, m, _ in TRAPS],
)
def test_the_mutant_fails(
    check: Check,
    mutant: Mutant,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError, match=words):
        check(tmp_path)


def test_the_readme_lists_every_trap_check_and_mutant() -> None:
    lines = (Path(__file__).parent / "README.md").read_text().splitlines()
    listed = set()
    for line in lines:
        if re.match(r"\| \d", line):
            trap, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            checks, mutants = (re.findall(r"`(\w+)`", c) for c in cells[1:])
            listed |= {(int(trap), c, m) for c in checks for m in mutants}
    assert {row[0] for row in listed} == set(range(1, 10))
    here = {(n, c.__name__, m.__name__) for n, c, m, _ in TRAPS}
    assert {row for row in listed if row[0] > 2} == here
    tests = Path(__file__).parents[1]
    checks_of_losses = (tests / "losses/test_loss_traps.py").read_text()
    for _, check, mutant in listed - here:
        assert f"def {check}(" in checks_of_losses
        assert f"loss_mutants.{mutant})" in checks_of_losses
