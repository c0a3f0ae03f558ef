"""Checkpoints of a run: what a killed fit goes on from."""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.corpus import (
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from fuzz.documents import json_faults
from fuzz.weights_faults import experiment_of
from tfpartial.files.stamp import STAMP_FILE, write_stamp

EPOCHS, KEPT = 3, 2


@functools.cache
def _model() -> Any:
    from tfpartial.training.fit import build_model

    return build_model(experiment_of(Path("unused")))


@functools.cache
def _other_model() -> Any:
    from tfpartial.training.fit import build_model

    experiment = experiment_of(Path("unused"))
    network = experiment.network.model_copy(update={"filters": [2, 5]})
    return build_model(experiment.model_copy(update={"network": network}))


def _checkpoints(model: Any, run_dir: Path) -> Any:
    from tfpartial.training.callbacks.checkpoints import Checkpoints

    callback = Checkpoints(model, run_dir, KEPT, 0)
    callback.set_model(model)
    return callback


def _state(model: Any) -> list[Any]:
    networks = (model.student, model.teacher)
    return [
        *(v for network in networks for v in network.weights),
        *model.optimizer.variables,
    ]


def _forget(model: Any) -> None:
    for variable in _state(model):
        variable.assign(np.full(variable.shape, 7, variable.dtype))
    model.optimizer.iterations.assign(0)


def _train_epoch(model: Any) -> None:
    """Take one step, the same wherever and whenever it is taken."""
    step = int(model.optimizer.iterations)
    draw = np.random.default_rng(step)
    variables = model.student.trainable_variables
    gradients = [draw.normal(size=v.shape).astype("f4") for v in variables]
    model.optimizer.apply(gradients, variables)
    student = model.student.get_weights()
    model.teacher.set_weights([0.5 * values for values in student])


def prepare(folder: Path) -> None:
    """Write a run that was stopped after the second of three epochs."""
    (folder / "run").mkdir()
    for name, model in (("run", _model()), ("other", _other_model())):
        callback = _checkpoints(model, folder / name)
        for epoch in range(EPOCHS - 1):
            _train_epoch(model)
            (folder / name).mkdir(exist_ok=True)
            callback.on_epoch_end(epoch)
        _forget(model)
        model.optimizer.iterations.assign(0)


def read(folder: Path) -> list[bytes]:
    """Go on like fit to the last epoch; return every bit of the result."""
    model = _model()
    _forget(model)
    callback = _checkpoints(model, folder / "run")
    for epoch in range(callback.restore(), EPOCHS):
        _train_epoch(model)
        callback.on_epoch_end(epoch)
    # What was written is what the next call would go on from.
    _forget(model)
    steps = _checkpoints(model, folder / "run").restore()
    return [bytes(steps), *(v.numpy().tobytes() for v in _state(model))]


def _saved(folder: Path) -> list[Path]:
    """Return the folders of the checkpoints, the newest one first."""
    return sorted((folder / "run" / "checkpoints").iterdir(), reverse=True)


def _of_newest(change: Callable[[Path, random.Random], None]) -> Mutate:
    """Change one file of the newest checkpoint."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        change(draw.choice(sorted(_saved(folder)[0].iterdir())), draw)
        return ("checkpoints",)

    return mutate


def _of_all(folder: Path, draw: random.Random) -> tuple[str, ...]:
    for saved in _saved(folder):
        change = draw.choice([truncate, flip_bits, replace_by_other])
        change(draw.choice(sorted(saved.iterdir())), draw)
    return ("checkpoints",)


def _other_stamp(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Give the newest one the stamp of another file or checkpoint."""
    newest, before = _saved(folder)
    target, home = newest / STAMP_FILE, folder / "other" / "checkpoints"
    kind = draw.randrange(4)
    if kind == 0:
        shutil.copy(before / STAMP_FILE, target)
    elif kind == 1:
        shutil.copy(draw.choice(sorted(home.iterdir())) / STAMP_FILE, target)
    else:
        stamp = json.loads(target.read_text())
        files = stamp["outputs"]
        if kind == 2:
            pairs = zip(files, [*files.values()][::-1], strict=True)
            stamp["outputs"] = dict(pairs)
        else:
            outside = {f"../{before.name}/{n}": s for n, s in files.items()}
            stamp["outputs"] = outside
        target.write_text(json.dumps(stamp))
    return ("checkpoints",)


def _another_kind(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Put a file, a link or nothing where a folder should be."""
    home = folder / "run" / "checkpoints"
    place = draw.choice([home, *_saved(folder)])
    aside = folder / "aside"
    place.rename(aside)
    kind = draw.randrange(3)
    if kind == 0:
        place.write_bytes(draw.randbytes(draw.randint(0, 999)))
    elif kind == 1:
        target = draw.choice(["/etc/hostname", place.name, "/dev/null"])
        place.symlink_to(target)
    else:
        os.mkfifo(place)
    return ("checkpoints",)


def _later_folders(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Claim later epochs with folders that hold nothing, or little."""
    newest, _ = _saved(folder)
    for number in range(draw.randint(1, 2 * KEPT)):
        epoch = 10 ** draw.randint(2, 9) + number
        claimed = newest.with_name(f"epoch-{epoch:05}")
        claimed.mkdir(exist_ok=True)
        for path in draw.sample(sorted(newest.iterdir()), draw.randint(0, 2)):
            shutil.copy(path, claimed)
    return ("checkpoints",)


def _extra(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Add what is no checkpoint, beside them and inside."""
    home = folder / "run" / "checkpoints"
    index = next(_saved(folder)[1].glob("*.index")).read_bytes()
    for name in draw.sample(
        [".epoch.tmp", ".epoch.old", "checkpoint", "epoch-1", "epoch-00009.bak",
         "ckpt-7.index", "notes.txt"], draw.randint(1, 4),
    ):  # fmt: skip
        (home / name).write_bytes(draw.choice([b"", b"text", index]))
    for saved in _saved(folder):
        if saved.is_dir():
            for name in ("notes.txt", "state.data-00001-of-00002", "x.index"):
                (saved / name).write_bytes(draw.choice([b"", b"text", index]))
    return ()


def _exchanged(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Exchange the two checkpoints: whole, but under another's name."""
    newest, before = _saved(folder)
    newest.rename(folder / "aside")
    before.rename(newest)
    (folder / "aside").rename(before)
    return ("checkpoints",)


def _sealed_anew(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Damage a checkpoint, and write a stamp that agrees with the damage."""
    newest, _ = _saved(folder)
    files = sorted(p for p in newest.iterdir() if p.name != STAMP_FILE)
    change = draw.choice([truncate, flip_bits])
    change(draw.choice(files), draw)
    epoch = int(newest.name.removeprefix("epoch-"))
    write_stamp(newest / STAMP_FILE, {"epoch": epoch})
    return ("checkpoints",)


def _another_network(folder: Path, draw: random.Random) -> tuple[str, ...]:
    newest, _ = _saved(folder)
    shutil.rmtree(newest)
    others = sorted((folder / "other" / "checkpoints").iterdir())
    shutil.copytree(draw.choice(others), newest)
    return ("checkpoints",)


READER = Reader(
    "checkpoint",
    prepare,
    read,
    (
        Fault("bits flipped", _of_newest(flip_bits)),
        Fault("truncated", _of_newest(truncate)),
        Fault("another file", _of_newest(replace_by_other)),
        Fault("file missing", _of_newest(lambda path, draw: path.unlink())),
        Fault("no folder but a file", _another_kind),
        Fault("folders of later epochs", _later_folders),
        Fault("all damaged", _of_all),
        Fault("extra files", _extra, harmless=True),
        Fault("exchanged", _exchanged),
        Fault("sealed anew", _sealed_anew),
        Fault("another network", _another_network),
        Fault("stamp of another", _other_stamp),
        *(
            Fault(f"stamp: {fault.name}", fault.mutate)
            for fault in json_faults(lambda f: _saved(f)[0] / STAMP_FILE)
        ),
    ),
    slow=True,
)
