"""`tfpartial <verb>`; the files in scripts/ call the same function.

TensorFlow is imported inside the verbs, so that `--help` and a config error
answer at once.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tfpartial import __version__
from tfpartial.cli import verbs
from tfpartial.errors import InputError, MachineError

DEFAULT_CONFIG = Path(__file__).parents[2] / "configs" / "phantom.yaml"
_OVERRIDES = (
    "any field of the config as field=value, such as fit.epochs=10 or "
    "network.filters=[8,16,32]"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 when it is done, 2 after a message about bad input, 3 after one
        about the machine: a full disk or memory, a worker that is gone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", stream=sys.stdout
    )
    logging.getLogger("absl").setLevel(logging.ERROR)
    arguments = parse_arguments(argv)
    try:
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


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse flags and overrides, in any order.

    argparse takes positional arguments of a verb from one place only: what
    stands between or after other flags is handed back, and added here.
    """
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    known = getattr(arguments, "overrides", None)
    for flag in ("databases", "only"):
        # `--databases a b field=value`: a flag of several words takes all
        # that follow; no name of a database or a run holds "=".
        named = getattr(arguments, flag, None)
        if not named or known is None:
            continue
        names = [word for word in named if "=" not in word]
        rest = [*(word for word in named if "=" in word), *rest]
        setattr(arguments, flag, names)
        if not names:
            parser.error(f"argument --{flag}: expected at least one name")
    if rest and (known is None or any(item.startswith("-") for item in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides = [*(known or []), *rest]
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="tfpartial",
        description="Train one 3D segmentation network from databases that "
        "annotate different labels.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="verb")

    _add_making(subparsers)
    _add_using(subparsers)
    _add_audit_flags(_verb(subparsers, "audit", verbs.audit, config=True))
    verb = _verb(subparsers, "table", verbs.table)
    _add_table_flags(verb)
    verb = _verb(subparsers, "demo", verbs.demo)
    verb.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        help="default: %(default)s",
    )
    verb.add_argument(
        "overrides", nargs="*", metavar="field=value", help=_OVERRIDES
    )
    return parser


def _add_making(subparsers: argparse._SubParsersAction) -> None:
    """Add the verbs that lead to a run."""
    _verb(subparsers, "phantom", verbs.make_phantom, config=True)
    verb = _verb(subparsers, "import-openkbp", verbs.import_openkbp)
    verb.add_argument(
        "--source",
        type=Path,
        required=True,
        help="folder of the public repository's patients",
    )
    verb.add_argument(
        "--target",
        type=Path,
        required=True,
        help="folder to write a NIfTI folder per case into",
    )

    verb = _verb(subparsers, "build", verbs.build, config=True)
    verb.add_argument(
        "--records_dir", type=Path, help="default: records_dir of the config"
    )
    verb.add_argument(
        "--databases", nargs="+", metavar="NAME", help="build only these"
    )

    verb = _verb(subparsers, "fit", verbs.fit, config=True)
    verb.add_argument(
        "--strategy",
        default="mirrored",
        choices=("none", "mirrored", "multi_worker"),
    )
    verb.add_argument(
        "--run_dir", type=Path, help="default: run_dir of the config"
    )


def _add_using(subparsers: argparse._SubParsersAction) -> None:
    """Add the verbs that start from a run."""
    verb = _verb(subparsers, "pseudo-label", verbs.pseudo_label,
                 config=True, run_dir=True)  # fmt: skip
    verb.add_argument(
        "--target_records_dir",
        type=Path,
        required=True,
        help="folder to write the new records into",
    )
    verb.add_argument(
        "--databases",
        nargs="+",
        metavar="NAME",
        help="only these; default: all that leave labels unannotated",
    )

    verb = _verb(subparsers, "predict", verbs.predict, run_dir=True)
    verb.add_argument(
        "--inputs",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="scans (NIfTI) or folders of scans; prone scans "
        "whose affine does not know it need --prone_turn",
    )
    verb.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        help="instead of --inputs: the cases of a split of the run's databases",
    )
    verb.add_argument(
        "--databases",
        nargs="+",
        metavar="NAME",
        help="with --split: only these",
    )
    verb.add_argument(
        "--prone_turn",
        action="store_true",
        help="turn scans by 180 degrees about the long axis",
    )
    verb.add_argument("--predictions_dir", type=Path, required=True)

    verb = _verb(subparsers, "export", verbs.export, run_dir=True)
    verb.add_argument("--export_dir", type=Path, required=True)

    verb = _verb(subparsers, "evaluate", verbs.evaluate, run_dir=True)
    verb.add_argument("--predictions_dir", type=Path, required=True)
    verb.add_argument(
        "--split", default="test", choices=("train", "validation", "test")
    )
    verb.add_argument("--databases", nargs="+", metavar="NAME")
    verb.add_argument(
        "--out_dir", type=Path, help="default: the predictions folder"
    )


def _add_audit_flags(verb: argparse.ArgumentParser) -> None:
    """Add the flags of the verb that checks databases."""
    verb.add_argument(
        "--out_dir",
        type=Path,
        required=True,
        help="folder to write index.html and audit.json into",
    )
    verb.add_argument(
        "--databases", nargs="+", metavar="NAME", help="audit only these"
    )
    verb.add_argument(
        "--run_dir",
        type=Path,
        help="directory that fit made: segment all cases with it and compare",
    )
    verb.add_argument(
        "--predictions_dir",
        type=Path,
        help="compare with the label maps <database>/<case> in it",
    )


def _add_table_flags(verb: argparse.ArgumentParser) -> None:
    """Add the flags of the verb that compares systems."""
    verb.add_argument(
        "--config",
        type=Path,
        required=True,
        help="a comparison, such as configs/paper/phantom.yaml",
    )
    verb.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="trainings at a time, which share the CPU cores; default 1",
    )
    verb.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="RUN",
        help="train only these runs, such as ace_seed0",
    )
    verb.add_argument(
        "--no_training",
        action="store_true",
        help="write the tables of what is finished",
    )
    verb.add_argument(
        "overrides",
        nargs="*",
        metavar="field=value",
        help="any field of the comparison, such as seeds=[0], or "
        "experiment.field=value of the experiment that it shares",
    )


def _verb(
    subparsers: argparse._SubParsersAction,
    name: str,
    run: verbs.Verb,
    *,
    config: bool = False,
    run_dir: bool = False,
) -> argparse.ArgumentParser:
    """Add a verb whose help is the docstring of the function that runs it."""
    summary = (run.__doc__ or "").strip()
    parser = subparsers.add_parser(
        name,
        help=summary.splitlines()[0],
        description=inspect.cleandoc(run.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    if config:
        parser.add_argument(
            "--config",
            type=Path,
            default=DEFAULT_CONFIG,
            help="default: %(default)s (built-in phantom)",
        )
    if run_dir:
        parser.add_argument(
            "--run_dir",
            type=Path,
            required=True,
            help="directory that fit made",
        )
    if config or run_dir:
        parser.add_argument(
            "overrides", nargs="*", metavar="field=value", help=_OVERRIDES
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
