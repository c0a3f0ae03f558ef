"""The benchmark of the start, at toy size."""

from __future__ import annotations

import json

import pytest
import startup


@pytest.mark.slow
def test_help_and_config_errors_need_no_tensorflow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert startup.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert all(line["checked"].values())
    assert [(t["what"], t["limit"]) for t in line["targets"]] == [
        ("seconds of --help", 1.0),
        ("seconds of fit --help", 1.0),
        ("seconds of config error", 1.0),
        ("time of the first step of fit / import and trace", 1.1),
        ("time of import and trace / import tensorflow", None),
    ]
    seconds = {side: s["median_s"] for side, s in line["sides"].items()}
    assert seconds["python"] < seconds["--help"] < seconds["import tensorflow"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["fit", "fit.epohcs=3"], 2)]
)
def test_the_block_is_real(arguments: list[str], code: int) -> None:
    """What passes the check passes for want of an import, not of a block."""
    assert startup.code_of(startup.BLOCKED, *arguments) == code
    imports = startup.BLOCKED.replace("from", "import tensorflow; from", 1)
    assert startup.code_of(imports, *arguments) == 1


def test_what_fails_is_no_time() -> None:
    startup.expect(3, "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="exit code 3, expected 0"):
        startup.expect(0, "raise SystemExit(3)")
