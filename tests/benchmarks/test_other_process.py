"""A side in another process: calls, failures, state, the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from other_process import OtherProcess


def counting_calls(first: int) -> dict[str, Callable[..., Any]]:
    """Callables with a state of their process."""
    count = [first]

    def add(number: int) -> int:
        count[0] += number
        return count[0]

    def fail() -> None:
        raise ValueError("three is too many")

    return {"add": add, "fail": fail, "process": os.getpid}


def test_calls_keep_their_state_in_a_process_of_their_own() -> None:
    with OtherProcess(counting_calls, 10) as other:
        assert [other("add", 1), other("add", 2)] == [11, 13]
        assert other("process") == other._process.pid != os.getpid()
    assert other._process.exitcode == 0


def test_a_failure_comes_with_its_traceback_and_is_not_the_end() -> None:
    with OtherProcess(counting_calls, 0) as other:
        with pytest.raises(RuntimeError, match="fail.*\n(.*\n)*.*too many"):
            other("fail")
        with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
            other("nothing")
        assert other("add", 5) == 5
