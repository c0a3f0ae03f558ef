"""A stamp vouches for exactly what was written, by exactly what made it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpartial.errors import InputError
from tfpartial.files import stamp as stamps
from tfpartial.files.stamp import (
    STAMP_FILE,
    check_stamp,
    difference,
    holds,
    write_stamp,
)

KEY = {"weights": "ab12", "predict": {"overlap": 0.5}, "shape": (3, 4), "n": 1}
CONTENTS = {"a.bin": b"\x00\x01\x02", "deeper/b.bin": b"some bytes", "c": b""}
FILES = [*CONTENTS, STAMP_FILE]


def write_outputs(folder: Path) -> list[Path]:
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / name for name in CONTENTS]


@pytest.fixture
def stamp(tmp_path: Path) -> Path:
    path = tmp_path / "done" / STAMP_FILE
    write_stamp(path, KEY, write_outputs(path.parent))
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stamp for properties, which put back what they damage."""
    path = tmp_path_factory.mktemp("shared") / STAMP_FILE
    write_stamp(path, KEY, write_outputs(path.parent))
    return path


def test_what_was_written_holds_and_gives_its_key(stamp: Path) -> None:
    assert holds(stamp, KEY)
    assert holds(stamp, KEY, quick=True)
    assert check_stamp(stamp, "", alone=True) == KEY | {"shape": [3, 4]}
    assert difference(stamp, KEY) == []


def test_a_stamp_of_a_folder_vouches_for_all_of_it(stamp: Path) -> None:
    listed = stamp.read_text()
    write_stamp(stamp, KEY)
    assert stamp.read_text() == listed


def test_a_folder_that_moves_takes_its_stamp_along(stamp: Path) -> None:
    moved = stamp.parent.rename(stamp.parent.with_name("moved"))
    assert holds(moved / STAMP_FILE, KEY)


@given(st.sampled_from(FILES), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(
    shared: Path, name: str, place: int, mask: int
) -> None:
    file = shared.parent / name
    before = file.read_bytes()
    changed = bytearray(before or b"\0")
    changed[place % len(changed)] ^= mask
    if name == STAMP_FILE and _reads_alike(changed, before):
        return  # one kind of white space instead of another
    try:
        file.write_bytes(changed)
        assert not holds(shared, KEY)
        with pytest.raises(InputError, match=str(file)):
            check_stamp(shared, "")
    finally:
        file.write_bytes(before)


def _reads_alike(one: bytes, other: bytes) -> bool:
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(stamp: Path, name: str) -> None:
    (stamp.parent / name).unlink()
    assert not holds(stamp, KEY)
    assert not holds(stamp, KEY, quick=True)
    with pytest.raises(InputError, match=f"{stamp.parent / name}: .* none"):
        check_stamp(stamp, "")


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
def test_only_the_same_key_holds(shared: Path, other: dict) -> None:
    key = KEY | other
    is_same = key == KEY
    assert holds(shared, key) == is_same
    assert difference(shared, key) == sorted(
        name for name in key if key[name] != KEY.get(name, holds)
    )


def test_a_field_that_went_is_a_difference(stamp: Path) -> None:
    fewer = {name: value for name, value in KEY.items() if name != "n"}
    assert not holds(stamp, fewer)
    assert difference(stamp, fewer) == ["n"]
    assert difference(stamp.with_name("none.json"), KEY) == sorted(KEY)


def test_a_kill_before_the_stamp_repeats_the_work(
    stamp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the stamp of an earlier key is still there."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    outputs = [stamp.parent / name for name in CONTENTS]
    outputs[0].write_bytes(b"other")
    monkeypatch.setattr(stamps, "write_whole", kill)
    with pytest.raises(KeyboardInterrupt):
        write_stamp(stamp, KEY | {"n": 2}, outputs)
    assert not holds(stamp, KEY)
    assert not holds(stamp, KEY | {"n": 2})


def test_quick_reads_sizes_alone_of_what_is_large(
    stamp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stamp.parent / "a.bin").write_bytes(b"\x00\x01\x03")
    assert not holds(stamp, KEY, quick=True)
    monkeypatch.setattr(stamps, "QUICK_BYTES", 2)
    assert holds(stamp, KEY, quick=True)
    assert not holds(stamp, KEY)
    (stamp.parent / "a.bin").write_bytes(b"\x00\x01")
    assert not holds(stamp, KEY, quick=True)


def test_every_fault_is_named_together_with_the_remedy(stamp: Path) -> None:
    folder = stamp.parent
    (folder / "a.bin").unlink()
    (folder / "deeper" / "b.bin").write_bytes(b"some bytez")
    (folder / "extra.py").write_text("")
    os.symlink(folder / "c", folder / "link")
    with pytest.raises(InputError) as caught:
        check_stamp(stamp, "Export again.", alone=True)
    named = [fault.partition(":")[0] for fault in caught.value.faults]
    expected = ["a.bin", "deeper/b.bin", "extra.py", "link"]
    assert named == [str(folder / name) for name in expected]
    assert all(fault.endswith("Export again.") for fault in caught.value.faults)


def test_a_link_is_no_output(stamp: Path) -> None:
    elsewhere = stamp.parent.parent / "elsewhere"
    (stamp.parent / "a.bin").rename(elsewhere)
    (stamp.parent / "a.bin").symlink_to(elsewhere)
    assert not holds(stamp, KEY)
    with pytest.raises(InputError, match=r"a\.bin: .* no plain file"):
        check_stamp(stamp, "")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"key": {}, "outputs": {}}', "[" * 100_000,
     '{"key": 1, "outputs": 2, "sha256": 3}', " " * (33 * 2**20)],
)  # fmt: skip
def test_any_other_document_is_no_stamp(stamp: Path, text: str) -> None:
    stamp.write_text(text)
    assert not holds(stamp, KEY)
    with pytest.raises(InputError, match=f"{stamp}: expected"):
        check_stamp(stamp, "")


@pytest.mark.parametrize("name", ["../out", "/etc/hostname"])
def test_outputs_elsewhere_are_refused(stamp: Path, name: str) -> None:
    (stamp.parent.parent / "out").write_text("")
    with pytest.raises(ValueError, match="subpath"):
        write_stamp(stamp, KEY, [Path(name).resolve()])
    body = {"key": {}, "outputs": {name: {}}}
    sealed = body | {"sha256": stamps.value_hash(body)}
    stamp.write_text(json.dumps(sealed))
    with pytest.raises(InputError, match="intact stamp"):
        check_stamp(stamp, "")


def test_a_folder_in_its_place_is_told_before_the_work(stamp: Path) -> None:
    stamp.unlink()
    stamp.mkdir()
    with pytest.raises(InputError, match=f"{stamp}: .* a folder"):
        holds(stamp, KEY)
    shutil.rmtree(stamp.parent)
    assert not holds(stamp, KEY)
