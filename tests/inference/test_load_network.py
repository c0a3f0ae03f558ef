"""A run folder gives back the networks that training wrote."""

import shutil

import h5py
import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.models import build_network
from tfpartial.runs import weights as module
from tfpartial.runs.loaded_run import load_network, load_run
from tfpartial.runs.weights import write_weights


def test_student_and_teacher_are_what_was_saved(run):
    student, teacher = load_network(run), load_network(run, "teacher")
    assert (student.name, teacher.name) == ("student", "teacher")
    for a, b in zip(student.get_weights(), teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(a * np.float32(0.9), b)
    assert run.weights_hash("student") != run.weights_hash("teacher")
    assert run.space.names == ("background", "bone", "left", "right")
    assert run.window_shape == (16, 16, 16)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config\.yaml.*no such folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(InputError, match=r"config\.yaml, found none"):
        load_run(tmp_path)


def test_missing_weights_say_what_there_is(run, tmp_path):
    (tmp_path / "config.yaml").write_bytes(
        (run.run_dir / "config.yaml").read_bytes()
    )
    with pytest.raises(InputError, match="no weights.*Run fit"):
        load_network(load_run(tmp_path))
    (tmp_path / "student.weights.h5").write_bytes(b"")
    with pytest.raises(InputError, match="fit.teacher=true"):
        load_network(load_run(tmp_path), "teacher")


@pytest.mark.parametrize("filters", ["- 4\n  - 12", "- 4\n  - 8\n  - 8"])
def test_weights_of_another_network_are_refused(run, tmp_path, filters):
    text = (run.run_dir / "config.yaml").read_text()
    other = text.replace("- 4\n  - 8", filters)
    assert other != text
    (tmp_path / "config.yaml").write_text(other)
    name = "student.weights.h5"
    (tmp_path / name).write_bytes((run.run_dir / name).read_bytes())
    with pytest.raises(
        InputError, match=r"student\.weights\.h5: these weights"
    ):
        load_network(load_run(tmp_path))


def test_damaged_weights_are_refused(run, tmp_path):
    (tmp_path / "config.yaml").write_bytes(
        (run.run_dir / "config.yaml").read_bytes()
    )
    data = (run.run_dir / "student.weights.h5").read_bytes()
    (tmp_path / "student.weights.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="these weights do not fit"):
        load_network(load_run(tmp_path))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("unet3d", {"filters": [1, 2]}), ("unet3d", {"filters": [8, 16, 32, 64]}),
     ("deepmedic", {})],
)  # fmt: skip
def test_a_full_disk_is_noticed_before_hdf5_crashes(
    tmp_path, monkeypatch, name, sizes
):
    """What is tried is at least what the file takes."""
    network = build_network(
        name, num_labels=3, seed=0, model_name="student", **sizes
    )
    tried = []

    def note_size(path, network):
        tried_space(path, network)
        tried.append(path.stat().st_size)

    tried_space = module._try_space
    monkeypatch.setattr(module, "_try_space", note_size)
    write_weights(network, tmp_path, "student")
    assert (tmp_path / "student.weights.h5").stat().st_size <= tried[0]


def test_a_changed_bit_in_the_weights_is_noticed(run, tmp_path):
    """HDF5 reads another number without a word; the hash of all does not."""
    home = tmp_path / "run"
    home.mkdir()
    shutil.copy(run.run_dir / "config.yaml", home)
    network = load_network(run)
    write_weights(network, home, "student")
    assert [path.name for path in home.glob("*.h5")] == ["student.weights.h5"]
    read = load_network(load_run(home)).get_weights()
    for a, b in zip(read, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # In the middle of the first kernel, where only a number is stored.
    path = home / "student.weights.h5"
    content = bytearray(path.read_bytes())
    kernel = network.get_weights()[0].tobytes()
    place = content.index(kernel) + len(kernel) // 2
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged: expected weights of sha"):
        load_network(load_run(home))


@pytest.mark.parametrize("other", ["0" * 64, "", 3, np.zeros((2, 2)), b"\xff"])
def test_any_other_hash_is_damage(run, tmp_path, other):
    shutil.copy(run.run_dir / "config.yaml", tmp_path)
    write_weights(load_network(run), tmp_path, "student")
    with h5py.File(tmp_path / "student.weights.h5", "r+") as file:
        (name,) = file.attrs
        file.attrs[name] = other
    with pytest.raises(InputError, match=r"weights\.h5: .*expected .* found"):
        load_network(load_run(tmp_path))
