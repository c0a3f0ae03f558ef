import threading
import time

import pytest

from tfpartial.data import shutdown


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A program of its own: nothing counted, not ending."""
    monkeypatch.setattr(shutdown, "_closing", threading.Event())
    monkeypatch.setattr(shutdown, "_calls", dict.fromkeys(shutdown._calls, 0))


def load_one(seconds, finished):
    with shutdown.Reading():
        time.sleep(seconds)
    shutdown.end_patch()
    finished.append(time.monotonic())


def test_the_end_waits_for_a_read_longer_than_any_quiet_time():
    finished = []
    seconds = shutdown._QUIET_SECONDS_UNENDED + 0.3
    thread = threading.Thread(target=load_one, args=(seconds, finished))
    thread.start()
    time.sleep(0.05)
    shutdown.stop_loading()
    assert finished
    thread.join()


def test_no_patch_begins_once_the_program_ends():
    shutdown.stop_loading()
    with pytest.raises(StopIteration), shutdown.Reading():
        pass
    assert shutdown._calls["begun"] == 0


def test_a_program_that_loads_nothing_ends_at_once():
    start = time.monotonic()
    shutdown.stop_loading()
    assert time.monotonic() - start < shutdown._QUIET_SECONDS


def test_a_failed_read_and_a_cancelled_patch_do_not_hold_the_program():
    with pytest.raises(KeyError), shutdown.Reading():
        raise KeyError
    start = time.monotonic()
    shutdown.stop_loading()
    assert time.monotonic() - start < shutdown._QUIET_SECONDS_UNENDED + 0.5
