"""`tfpartial <verb>`; the files in scripts/ call the same function.

TensorFlow is imported inside the verbs, so that `--help` and a config error
answer at once.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
from collections.abc import Sequence

from tfpartial import __version__
from tfpartial.cli import data_verbs, model_verbs, training_verbs
from tfpartial.cli.verb import VERBS, Verb
from tfpartial.errors import InputError, MachineError, did_you_mean

# Importing them registers their verbs.
__all__ = ["data_verbs", "main", "model_verbs", "training_verbs"]
_NAMES = ("databases", "only")
_NO_FLAGS = ("run", "takes_overrides", "folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 when it is done, 2 after a message about bad input, 3 after one
        about the machine: a full disk or memory, a worker that is gone.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", stream=sys.stdout
    )
    logging.getLogger("absl").setLevel(logging.ERROR)
    arguments = parse_arguments(argv)
    if not arguments.verbose:  # "Using MirroredStrategy with devices ..."
        logging.getLogger("tensorflow").setLevel(logging.WARNING)
    try:
        _check_system()
        arguments.run(arguments)
    except InputError as error:
        sys.stdout.flush()
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        return 2
    except MachineError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _check_system() -> None:
    """Refuse systems without file locks and CPU affinity as Linux has them."""
    if sys.platform != "linux":
        raise InputError(
            f"tfpartial: expected Linux, found {sys.platform}. Use a Linux "
            f"machine, a container, or WSL on Windows."
        )


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse flags and, wherever they stand between them, overrides."""
    parser = build_parser()
    arguments, words = parser.parse_known_args(argv)
    for name in _NAMES:
        # `--databases a b field=value`: a flag of several words takes all
        # that follow; no name of a database or a run holds "=".
        taken = getattr(arguments, name, None) or []
        names = [word for word in taken if "=" not in word]
        if taken and not names:
            parser.error(f"argument --{name}: expected at least one name")
        if taken:
            setattr(arguments, name, names)
            words += [word for word in taken if "=" in word]
    unknown = [w for w in words if w.startswith("-")]
    if not arguments.takes_overrides:
        unknown = words
    if unknown:
        parser.error(
            f"unrecognized arguments: {' '.join(unknown)}"
            + _advice(unknown[0], arguments)
        )
    arguments.overrides = words
    return arguments


def _advice(word: str, arguments: argparse.Namespace) -> str:
    """Return what an unknown word may have been meant to be, or ""."""
    flag = word.partition("=")[0]
    if "." in flag and arguments.takes_overrides:
        return f". A field has no dashes: {word.lstrip('-')}"
    known = [f"--{n}" for n in vars(arguments) if n not in _NO_FLAGS]
    return "." + did_you_mean(flag, known) if did_you_mean(flag, known) else ""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="tfpartial",
        description="Train one 3D segmentation network from databases that "
        "annotate different labels.",
        epilog="your own scans, in this order: init, audit, build, fit, "
        "predict, evaluate,\nexport. A verb's flags: tfpartial fit --help\n\n"
        "examples:\n  tfpartial demo\n  tfpartial init my_study",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="verb")
    for name, verb in sorted(VERBS.items()):
        _add_verb(subparsers, name, verb)
    return parser


def _add_verb(
    subparsers: argparse._SubParsersAction, name: str, verb: Verb
) -> None:
    """Add a verb; its help is its docstring, then examples."""
    description = inspect.cleandoc(verb.run.__doc__ or "")
    if verb.overrides:
        description += f"\n\nfield=value sets {verb.overrides}."
    parser = subparsers.add_parser(
        name,
        help=description.splitlines()[0],
        description=description,
        epilog="examples:\n  " + verb.examples.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=verb.run, takes_overrides=bool(verb.overrides))
    for flag in verb.flags:
        parser.add_argument(flag.name, **flag.options)
    parser.add_argument(
        "--verbose", action="store_true", help="let TensorFlow log everything"
    )
    if verb.overrides:
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
        parser.usage = f"{usage} [field=value ...]"


if __name__ == "__main__":
    sys.exit(main())
