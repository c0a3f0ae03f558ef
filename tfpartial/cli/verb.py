"""What a verb of the command line is: a function, its flags, its examples.

In: functions decorated with `verb`. Out: `VERBS`, from which main builds the
parser; the experiment that a verb's flags name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfpartial.cli.quiet_start import start_tensorflow
from tfpartial.config import Experiment, load_experiment
from tfpartial.runs.run_dir import config_of_run

Run = Callable[[argparse.Namespace], None]
# What to lower where a network that segments a scan runs out of memory.
WINDOW = "predict.windows_per_batch or predict.window_shape"


@dataclass(frozen=True)
class Flag:
    """One flag: its name and what argparse is told about it."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        run: does it; its docstring is the help.
        flags: in the order of the help.
        examples: complete commands, one a line.
        overrides: what `field=value` may set; None: it takes none.
    """

    run: Run
    flags: tuple[Flag, ...]
    examples: str
    overrides: str | None


VERBS: dict[str, Verb] = {}


def flag(name: str, help_text: str, **options: Any) -> Flag:
    """Declare a flag; see `argparse.ArgumentParser.add_argument`."""
    return Flag(name, {"help": help_text, **options})


def path_flag(name: str, help_text: str, **options: Any) -> Flag:
    """Declare a flag whose value is a path."""
    return flag(name, help_text, type=Path, **options)


def names_flag(name: str, help_text: str, metavar: str = "NAME") -> Flag:
    """Declare a flag that takes one name or several."""
    return flag(name, help_text, nargs="+", metavar=metavar)


CONFIG = path_flag(
    "--config",
    "a YAML file or the name of a shipped config; default: %(default)s, the "
    "built-in data",
    default=Path("phantom"),
)
RUN_DIR = path_flag("--run_dir", "directory that fit made", required=True)
PREDICTIONS_DIR = path_flag(
    "--predictions_dir", "folder of the predictions", required=True
)
TRUST_CODE = flag(
    "--trust_code",
    "import the network of a config with network.name=my_package.module:build; "
    "its code may do whatever you may do",
    action="store_true",
)
SPLITS = ("train", "validation", "test")
_FIELDS = (
    "any field of the config, such as fit.epochs=10 or\n"
    "network.filters=[8,16,32]; config.yaml in the folder of a run names all"
)


def verb(
    *flags: Flag,
    name: str | None = None,
    examples: str,
    overrides: str | None = _FIELDS,
) -> Callable[[Run], Run]:
    """Register a function as the verb of its name, or of another one."""

    def register(run: Run) -> Run:
        VERBS[name or run.__name__] = Verb(run, flags, examples, overrides)
        return run

    return register


def declared_experiment(
    arguments: argparse.Namespace, **replaced: Path | None
) -> Experiment:
    """Load the config of a verb; flags replace the field of their name."""
    return load_experiment(
        arguments.config,
        arguments.overrides,
        replaced={
            field: str(value) for field, value in replaced.items() if value
        },
        trust_code=_trust_code(arguments),
    )


def _trust_code(arguments: argparse.Namespace) -> bool | None:
    """Return the flag; None for verbs that need no network."""
    trust_code = getattr(arguments, "trust_code", None)
    if trust_code:
        start_tensorflow(arguments.verbose)  # the code will import it
    return trust_code


def experiment_of_run(arguments: argparse.Namespace) -> Experiment:
    """Load what a run declared, with overrides, wherever it lies now.

    Raises:
        InputError: the folder holds no run.
    """
    return load_experiment(
        config_of_run(arguments.run_dir),
        arguments.overrides,
        replaced={"run_dir": str(arguments.run_dir)},
        trust_code=_trust_code(arguments),
    )
