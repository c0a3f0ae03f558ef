"""Stops loading patches before the interpreter goes.

tf.data works ahead in threads of its own. An iterator that is still alive at
the end of the program is destroyed by the interpreter, waits there for the
patch that is being loaded, and that waits for the interpreter: the program
never ends. Therefore no patch may be under way when the interpreter finalises.
"""

from __future__ import annotations

import atexit
import threading
import time

# After so long without a call, tf.data has filled its buffers and rests. A
# patch that was read and did not end may be one that tf.data cancelled, or one
# whose interpolation still runs.
_QUIET_SECONDS = 0.25
_QUIET_SECONDS_UNENDED = 1.0
_LONGEST_SECONDS = 60.0

_lock = threading.Lock()
_closing = threading.Event()
_calls = {"begun": 0, "read": 0, "ended": 0, "refused": 0}


class Reading:
    """Surrounds the reading of one patch: `with Reading(): ...`.

    Raises:
        StopIteration: the program is ending; tf.data writes no warning for it.
    """

    def __enter__(self) -> None:
        refused = _closing.is_set()
        _count("refused" if refused else "begun")
        if refused:
            raise StopIteration("the program is ending")

    def __exit__(self, *_: object) -> None:
        _count("read")


def end_patch() -> None:
    """Count a patch that was read and is now complete."""
    _count("ended")


@atexit.register
def stop_loading() -> None:
    """Let no patch begin, and wait until those under way are complete.

    Patches that were asked for come and are refused, until the buffers of
    tf.data are full.
    """
    _closing.set()
    if not _calls["begun"]:
        return
    changed = start = time.monotonic()
    seen = dict(_calls)
    while time.monotonic() - start < _LONGEST_SECONDS:
        time.sleep(0.02)
        if _calls != seen or seen["begun"] != seen["read"]:
            changed, seen = time.monotonic(), dict(_calls)
        unended = seen["read"] != seen["ended"]
        wait = _QUIET_SECONDS_UNENDED if unended else _QUIET_SECONDS
        if time.monotonic() - changed > wait:
            return


def _count(name: str) -> None:
    with _lock:
        _calls[name] += 1
