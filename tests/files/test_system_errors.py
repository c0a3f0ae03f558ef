"""What the machine refuses is said in one message, whoever noticed it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfpartial.cli import data_verbs
from tfpartial.cli import main as entry
from tfpartial.errors import InputError, MachineError
from tfpartial.files.system_errors import cause_of, explain_refusals


def fill_dev_full() -> None:
    with open("/dev/full", "w") as file:
        file.write("x")
        file.flush()


def save_to_dev_full() -> None:
    with open("/dev/full", "wb") as file:
        np.savez(file, a=np.zeros(10_000))


def hdf5_on_a_full_disk() -> None:
    # h5py keeps no errno; this is its text.
    raise OSError(
        "[Errno 28] Can't synchronously write data (file write failed: time = "
        "now, errno = 28, error message = 'No space left on device')"
    )


def ask_for_too_much_memory() -> None:
    np.empty(2**62, np.int8)


def quota() -> None:
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def no_permission() -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x/y")


def read_only() -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/x/y")


def a_folder_in_its_place() -> None:
    raise IsADirectoryError(
        errno.EISDIR, os.strerror(errno.EISDIR), "/x/.y.tmp", None, "/x/y"
    )


def hidden_in_another() -> None:
    try:
        fill_dev_full()
    except OSError as error:
        raise RuntimeError("could not write the shard") from error


def tensorflow_error(name: str, text: str) -> Callable[[], None]:
    """Its classes are known by their name: this room does without it."""

    def fail() -> None:
        raise type(name, (Exception,), {})(text)

    return fail


CASES = [
    (fill_dev_full, "full"),
    (save_to_dev_full, "full"),
    (hdf5_on_a_full_disk, "full"),
    (quota, "full"),
    (hidden_in_another, "full"),
    (tensorflow_error("ResourceExhaustedError",
                      "runs/x; No space left on device"), "full"),
    (tensorflow_error("ResourceExhaustedError",
                      "OOM when allocating tensor with shape[1]"), "memory"),
    (tensorflow_error("PermissionDeniedError",
                      "runs/x; Read-only file system"), "not_writable"),
    (ask_for_too_much_memory, "memory"),
    (no_permission, "not_writable"),
    (read_only, "not_writable"),
    (a_folder_in_its_place, "not_writable"),
    (tensorflow_error("InvalidArgumentError", "shapes differ"), None),
    (lambda: [][1], None),
    (lambda: Path("/nowhere/at/all").read_text(), None),
]  # fmt: skip


@pytest.mark.parametrize(("fail", "cause"), CASES)
def test_the_cause_is_found(fail: Callable[[], None], cause: str) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        fail()
    assert cause_of(raised.value) == cause


def test_tensorflows_classes_have_the_names_that_are_known() -> None:
    import tensorflow as tf

    assert cause_of(tf.errors.ResourceExhaustedError(None, None, "x")) == (
        "memory"
    )
    assert cause_of(tf.errors.PermissionDeniedError(None, None, "x")) == (
        "not_writable"
    )
    with pytest.raises(tf.errors.OpError) as raised:
        tf.io.write_file("/dev/full", "x" * 100_000)
    assert cause_of(raised.value) == "full"


def test_full_is_said_with_place_and_remedy(tmp_path: Path) -> None:
    with (
        pytest.raises(MachineError) as raised,
        explain_refusals("training", tmp_path / "not" / "there", "fit.x"),
    ):
        fill_dev_full()
    text = str(raised.value)
    assert text.startswith(str(tmp_path / "not" / "there"))
    for words in ("expected space", "MB are free", "while training",
                  "Free some space", "the same command goes on"):  # fmt: skip
        assert words in text


def test_memory_names_what_to_lower() -> None:
    with (
        pytest.raises(MachineError, match=r"or lower build\.workers"),
        explain_refusals("building records", "records", "build.workers"),
    ):
        ask_for_too_much_memory()


def test_a_folder_that_cannot_be_written_is_bad_input() -> None:
    with (
        pytest.raises(InputError, match="/x/y: expected a place .*Read-only"),
        explain_refusals("exporting", "out"),
    ):
        read_only()


def test_a_file_that_may_not_be_read_is_bad_input() -> None:
    with (
        pytest.raises(InputError, match="/x/y: expected permission .*denied"),
        explain_refusals("building records", "records"),
    ):
        no_permission()


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), explain_refusals("training", "run"):
        raise KeyError("a mistake in the program")


def _die() -> None:
    os.kill(os.getpid(), 9)


def test_a_killed_worker_process_is_memory(tmp_path: Path) -> None:
    # The kernel ends who takes too much; the pool only says that it is broken.
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(_die).exception()
    assert cause_of(error) == "memory"


@pytest.mark.parametrize(("fail", "code"), [(fill_dev_full, 3), (read_only, 2)])
def test_exit_codes(fail, code: int, monkeypatch, capsys) -> None:
    monkeypatch.setattr(
        data_verbs, "declared_experiment", lambda *_, **__: _Any()
    )
    monkeypatch.setattr(
        "tfpartial.cli.data_verbs.ensure_phantom", lambda _: fail()
    )
    assert entry.main(["phantom", "--config", "x"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "Traceback" not in printed
    assert len(printed.splitlines()) == 1


class _Any:
    """An experiment, as far as making the phantom asks."""

    class phantom:  # noqa: N801
        path = "phantom"


def test_a_limit_of_the_file_size_is_a_full_disk(tmp_path: Path) -> None:
    """The real phantom, in a process that may write files of 10 kB."""
    config = tmp_path / "phantom"
    root = Path(__file__).parents[2]
    arguments = [
        "--config", root / "configs" / "phantom.yaml",
        f"phantom.path={config}", "phantom.supine_cases=1",
        "phantom.prone_cases=1", "phantom.shape=[24, 20, 16]",
        "phantom.spacing_mm=[16, 16, 16]", "build.splits.file=null",
    ]  # fmt: skip
    command = [sys.executable, root / "scripts" / "make_phantom.py", *arguments]
    command = [str(word) for word in command]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    done = subprocess.run(
        command,
        preexec_fn=limit,
        capture_output=True,
        encoding="utf-8",
        cwd=root,
    )
    assert done.returncode == 3, done.stderr
    assert "expected space to write" in done.stderr
    assert "Traceback" not in done.stderr
    # Half of the scans would take the space that is missing.
    assert [p.name for p in tmp_path.iterdir()] == [".phantom.lock"]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", cwd=root
    )
    assert done.returncode == 0, done.stderr


def test_a_rename_names_where_the_file_belongs() -> None:
    with (
        pytest.raises(InputError, match="^/x/y: expected a place that can"),
        explain_refusals("writing", "/x"),
    ):
        a_folder_in_its_place()
