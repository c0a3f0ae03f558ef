"""A checkpoint is whole or not there; a damaged one is never used."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import NAMES, batch, conv_network

from tfpartial.errors import InputError
from tfpartial.files.stamp import STAMP_FILE
from tfpartial.runs import checkpoint_files as files
from tfpartial.training.callbacks.checkpoints import Checkpoints
from tfpartial.training.mean_teacher import MeanTeacher, NonFiniteLossError

State = list[np.ndarray]


def make_model(make=conv_network, seed: int = 3) -> MeanTeacher:
    keras.utils.set_random_seed(seed)
    model = MeanTeacher(make("student"), make("teacher"), NAMES)
    model.compile(optimizer=keras.optimizers.AdamW(1e-2))
    model.optimizer.build(model.student.trainable_variables)
    return model


def checkpoints_of(model: MeanTeacher, run_dir: Path, keep: int = 2):
    made = Checkpoints(model, run_dir, keep, worker=0)
    made.set_model(model)
    return made


def state_of(model: MeanTeacher) -> State:
    """Student, teacher and optimizer, copied."""
    networks = [*model.student.weights, *model.teacher.weights]
    return [v.numpy() for v in [*networks, *model.optimizer.variables]]


def same(one: State, other: State) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, dict[int, State]]:
    """A run of three epochs of one step, keeping two; its states by epoch."""
    run_dir = tmp_path_factory.mktemp("trained")
    model = make_model()
    saver = checkpoints_of(model, run_dir)
    states = {}
    data = {k: tf.constant(v) for k, v in batch().items()}
    for epoch in range(3):
        model.train_step(data)
        saver.on_epoch_end(epoch)
        states[epoch + 1] = state_of(model)
    return run_dir, states


@pytest.fixture
def run(trained, tmp_path) -> tuple[Path, dict[int, State]]:
    """A copy of that run, to be damaged."""
    run_dir, states = trained
    return Path(shutil.copytree(run_dir, tmp_path / "run")), states


@functools.cache
def reader() -> Checkpoints:
    return checkpoints_of(make_model(seed=4), Path("nowhere"))


def restored(run_dir: Path) -> tuple[int, State]:
    """What a run that knows nothing yet restores."""
    reader().run_dir = run_dir
    model = reader().model
    for v in [*model.student.weights, *model.optimizer.variables]:
        v.assign(0 * v)
    return reader().restore(), state_of(model)


def newest(run_dir: Path) -> Path:
    return files.newest_first(run_dir)[0].folder


def test_the_newest_state_comes_back_bit_for_bit(run) -> None:
    run_dir, states = run
    assert not same(states[2], states[3])
    step, state = restored(run_dir)
    assert step == 3
    assert same(state, states[3])
    assert [s.epoch for s in files.newest_first(run_dir)] == [3, 2]  # keep


def test_without_checkpoints_a_run_begins(tmp_path) -> None:
    assert restored(tmp_path)[0] == 0
    assert files.completed_epochs(tmp_path) is None


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


FILES = ["state.index", "state.data-00000-of-00001", STAMP_FILE]


@pytest.mark.parametrize("damage", [flip_a_bit, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_one_falls_back_and_says_so(
    run, name: str, damage, caplog
) -> None:
    run_dir, states = run
    damage(newest(run_dir) / name)
    with caplog.at_level(logging.WARNING):
        step, state = restored(run_dir)
    assert step == 2
    assert same(state, states[2])
    assert "epoch-00003 is damaged" in caplog.text
    assert name in caplog.text
    assert "Going back to the checkpoint before" in caplog.text


def test_a_whole_one_under_the_name_of_another_is_damage(run) -> None:
    run_dir, _ = run
    shutil.copytree(newest(run_dir), run_dir / "checkpoints" / "epoch-00007")
    assert restored(run_dir)[0] == 3


def test_none_intact_is_refused(run) -> None:
    """Beginning anew in silence would throw a run away."""
    run_dir, _ = run
    for saved in files.newest_first(run_dir):
        flip_a_bit(saved.folder / "state.index")
    with pytest.raises(InputError, match="found 2 damaged") as e:
        restored(run_dir)
    for words in ("epoch-00003/state.index", "sha256", "remove this folder"):
        assert words in str(e.value)


def test_a_damaged_one_is_replaced_when_its_epoch_comes_again(run) -> None:
    run_dir, states = run
    flip_a_bit(newest(run_dir) / "state.index")
    model = make_model(seed=4)
    saver = checkpoints_of(model, run_dir)
    assert saver.restore() == 2
    model.train_step({k: tf.constant(v) for k, v in batch().items()})
    saver.on_epoch_end(2)
    assert files.find_fault(files.newest_first(run_dir)[0]) is None
    step, state = restored(run_dir)
    assert step == 3
    assert same(state, states[3])


def test_another_network_is_refused(run) -> None:
    run_dir, _ = run

    def other(name: str) -> keras.Model:
        image = keras.Input((None, None, None, 1))
        logits = keras.layers.Conv3D(3, 1, name=f"{name}_only")(image)
        return keras.Model(image, logits, name=name)

    with pytest.raises(InputError, match="expected the variables of this"):
        checkpoints_of(make_model(other), run_dir).restore()


class Killed(BaseException):
    """The process is gone: nothing of it is done any more."""


def kill_at(monkeypatch: pytest.MonkeyPatch, when: int) -> list[str]:
    """Let the process die before its n-th change of the disk."""
    done: list[str] = []

    def counted(name: str, real):
        def call(*arguments: object, **options: object) -> object:
            if len(done) >= when:
                raise Killed
            done.append(name)
            return real(*arguments, **options)

        return call

    for module, names in (
        (os, ("mkdir", "rename", "replace", "unlink", "fsync")),
        (shutil, ("rmtree",)),
    ):
        for name in names:
            real = getattr(module, name)
            monkeypatch.setattr(module, name, counted(name, real))
    return done


def test_killed_at_any_change_of_the_disk(run, tmp_path) -> None:
    """The state is that before the save or that after it, never another."""
    run_dir, states = run
    model = make_model()
    saver = checkpoints_of(model, run_dir)
    saver.restore()
    model.train_step({k: tf.constant(v) for k, v in batch().items()})
    states[4] = state_of(model)
    found = []
    for when in range(100):
        copy = Path(shutil.copytree(run_dir, tmp_path / f"kill{when}"))
        saver.run_dir = copy
        with pytest.MonkeyPatch.context() as patch:
            done = kill_at(patch, when)
            try:
                saver.on_epoch_end(3)
            except Killed:
                ended = False
            else:
                ended = True
        step, state = restored(copy)
        found.append(step)
        assert same(state, states[step])
        assert all(
            files.find_fault(saved) is None
            for saved in files.newest_first(copy)
        )
        if ended:
            break
    assert ended
    assert {"mkdir", "rename", "replace", "fsync", "rmtree"} <= set(done)
    assert found == sorted(found)  # once it is there it stays
    assert found[0] == 3
    assert found[-1] == 4


def test_what_a_kill_left_half_written_is_no_checkpoint(run) -> None:
    run_dir, states = run
    half = run_dir / "checkpoints" / ".epoch.tmp"
    half.mkdir()
    (half / "state.index").write_bytes(b"half")
    step, _ = restored(run_dir)
    assert step == 3
    model = make_model()
    saver = checkpoints_of(model, run_dir)
    saver.restore()
    saver.on_epoch_end(3)
    assert not half.exists()
    kept = json.loads((newest(run_dir) / STAMP_FILE).read_text())
    assert set(kept["outputs"]) == set(FILES[:2])


def test_a_failed_save_leaves_the_old_ones_and_no_rubbish(
    run, monkeypatch
) -> None:
    run_dir, _ = run

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    # After the files of the checkpoint are written, before they have a name.
    monkeypatch.setattr(files, "_flush", refuse)
    saver = checkpoints_of(make_model(), run_dir)
    with pytest.raises(OSError, match="No space left"):
        saver.on_epoch_end(3)
    assert [s.epoch for s in files.newest_first(run_dir)] == [3, 2]
    names = {path.name for path in run_dir.rglob("*")}
    assert not [name for name in names if "tmp" in name]


def go_on(run_dir: Path) -> None:
    """Train the fourth epoch from what is intact, as fit does."""
    model = make_model(seed=4)
    saver = checkpoints_of(model, run_dir)
    for epoch in range(saver.restore(), 4):
        model.train_step({k: tf.constant(v) for k, v in batch().items()})
        saver.on_epoch_end(epoch)


def test_names_of_later_epochs_never_push_out_the_one_just_saved(run) -> None:
    """With two to keep, two empty folders would leave nothing to go on from."""
    run_dir, _ = run
    for name in ("epoch-00008", "epoch-00009", "epoch-123456"):
        (run_dir / "checkpoints" / name).mkdir()
    assert files.completed_epochs(run_dir) == 3
    go_on(run_dir)
    assert [s.epoch for s in files.newest_first(run_dir)] == [4, 3]
    assert restored(run_dir)[0] == 4


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, "link"])
@pytest.mark.parametrize("name", ["epoch-00003", ".epoch.tmp", ".epoch.old"])
def test_a_file_where_a_folder_belongs_gives_way(run, name: str, make) -> None:
    run_dir, _ = run
    place = run_dir / "checkpoints" / name
    shutil.rmtree(place, ignore_errors=True)
    if make == "link":
        place.symlink_to(run_dir)
    else:
        make(place)
    go_on(run_dir)
    assert restored(run_dir)[0] == 4
    assert [s.epoch for s in files.newest_first(run_dir)] == [4, 3]
    assert not place.is_file()


def test_a_file_instead_of_all_checkpoints_is_no_beginning(run) -> None:
    run_dir, _ = run
    shutil.rmtree(run_dir / "checkpoints")
    (run_dir / "checkpoints").symlink_to("checkpoints")
    with pytest.raises(InputError, match="expected a folder of checkpoints"):
        restored(run_dir)


def test_every_file_is_flushed_before_the_checkpoint_has_its_name(
    run, monkeypatch
) -> None:
    run_dir, _ = run
    flushed: list[tuple[str, bool]] = []
    place = run_dir / "checkpoints" / "epoch-00004"
    real = os.fsync

    def noted(number: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{number}")).name
        flushed.append((name, place.exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", noted)
    checkpoints_of(make_model(), run_dir).on_epoch_end(3)
    assert {(name, False) for name in FILES[:2]} <= set(flushed)
    assert (".epoch.tmp", False) in flushed
    assert flushed[-1] == ("checkpoints", True)


def test_weights_that_are_not_finite_are_not_saved(run) -> None:
    run_dir, states = run
    model = make_model()
    model.student.weights[0].assign(model.student.weights[0] * np.nan)
    with pytest.raises(NonFiniteLossError, match="epoch 4: student"):
        checkpoints_of(model, run_dir).on_epoch_end(3)
    step, state = restored(run_dir)
    assert step == 3
    assert same(state, states[3])
