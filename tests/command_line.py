"""A verb in this process: what a user's process would do, without its start.

In: the words after `tfpartial`. Out: exit code and what was printed. One
process of its own per script is enough (tests/end_to_end/shrunken.py); a start
costs seconds, nearly all of them TensorFlow's.
"""

from __future__ import annotations

import contextlib
import io
import logging

from tfpartial.cli.main import main


def run_verb(*argv: object) -> tuple[int, str, str]:
    """Return exit code, standard output with the log, and standard error."""
    out, err = io.StringIO(), io.StringIO()
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers.clear()  # pytest's: else main() would configure none
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(list(map(str, argv)))
            except SystemExit as stopped:  # argparse
                code = int(stopped.code or 0)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return code, out.getvalue(), err.getvalue()


def verb(*argv: object, expect: int = 0) -> str:
    """Run a verb that ends with a code; return everything it printed."""
    code, out, err = run_verb(*argv)
    printed = out + err
    assert code == expect, printed[-3000:]
    assert "Traceback" not in printed
    return printed
