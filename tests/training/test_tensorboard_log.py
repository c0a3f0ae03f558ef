"""What is logged of an epoch is what the model is made of."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from tfpartial.losses import Reduction, Term
from tfpartial.runs.history import History
from tfpartial.training.callbacks.tensorboard_log import TensorBoardLog


def test_terms_are_logged_under_their_names(tmp_path: Path) -> None:
    def fn(*_: object) -> Reduction:
        raise AssertionError("not called by a log")

    dice = SimpleNamespace(per_label=lambda: {"a": 0.5, "b": float("nan")})
    history = History(tmp_path / "metrics.json")
    board = TensorBoardLog(
        None,
        steps_per_epoch=10,
        global_batch_size=2,
        learning_rate=0.1,
        history=history,
    )
    board.set_model(
        SimpleNamespace(
            terms=[
                Term("mine", 1.0, fn),
                Term("risen", lambda step: step / 19, fn),
            ],
            student_dice=dice,
            teacher_dice=None,
        )
    )
    board.on_epoch_begin(1)
    board.on_epoch_end(1, {"loss": 3.0, "mine": 1.0, "risen": 2.0})
    (entry,) = json.loads(history.path.read_text("utf-8"))
    assert entry == {
        "epoch": 2,
        "step": 20,
        "loss/total": 3.0,
        "loss/mine": 1.0,
        "loss/risen": 2.0,
        "schedule/risen_weight": 1.0,  # of the last step: 19 were completed
        "schedule/learning_rate": 0.1,
        "dice_student/a": 0.5,
        "dice_student/b": None,
    }
