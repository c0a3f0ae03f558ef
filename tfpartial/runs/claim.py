"""A run directory says what it is, and belongs to one experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfpartial.config import Experiment, write_resolved
from tfpartial.config.training_identity import FREE_FIELDS
from tfpartial.errors import InputError, shown
from tfpartial.files.safe_reading import file_hash, read_json, read_yaml
from tfpartial.files.whole_file import write_whole
from tfpartial.models.registry import describe_code
from tfpartial.records.store import RecordStore
from tfpartial.runs.checkpoint_files import newest_first
from tfpartial.runs.run_dir import RunDir


def claim_run_dir(
    experiment: Experiment,
    stores: dict[str, RecordStore],
    run_dir: Path,
    description: dict[str, Any],
) -> None:
    """Write what the run is, or check that the directory holds this run.

    Raises:
        InputError: another experiment, or other records, made the directory;
            or what it says about itself cannot be read.
    """
    records_dir = Path(experiment.records_dir)
    description |= {
        "seed": experiment.seed,
        "manifest_sha256": _sha256(records_dir / "manifest.json"),
        "records_sha256": hash_of_records(stores),
    }
    code = describe_code(experiment.network.name)
    if code is not None:
        description["code_from_outside"] = code
    files = RunDir(run_dir)
    config, about = files.config, files.about
    if newest_first(run_dir) and not config.exists():
        raise InputError(
            f"{config}: expected what the checkpoints beside it are of, found "
            f"none. Restore it, or choose another run_dir."
        )
    if config.exists():
        remedy = "Restore it, or choose another run_dir."
        before = read_yaml(config, "a run's config", remedy)
        now = experiment.model_dump(mode="json")
        differing = _differences(before, now)
        earlier = read_json(about, "what began the run (JSON)", remedy)
        calls = earlier.get("resumed", []) if isinstance(earlier, dict) else 0
        if not isinstance(calls, list):
            raise InputError(
                f"{about}: expected what began the run, and a list of the "
                f"calls that went on, found {shown(earlier)}. {remedy}"
            )
        if earlier.get("records_sha256") != description["records_sha256"]:
            differing.append("its records (they were built anew since)")
        if differing:
            raise InputError(
                f"{run_dir}: expected a run of this experiment, found one of "
                f"another; it differs in {', '.join(differing)}. Choose "
                f"another run_dir, or remove this one."
            )
        # What began the run stays on top; later calls are listed below it.
        description = earlier | {"resumed": [*calls, description]}
    run_dir.mkdir(parents=True, exist_ok=True)
    write_whole(about, json.dumps(description, indent=1))
    if not config.exists():
        # The splits file of the config may be gone when the run is repeated.
        text = json.dumps(_splits_of(stores), indent=1)
        write_whole(files.splits, text)
        write_resolved(experiment, config)


def hash_of_records(stores: dict[str, RecordStore]) -> dict[str, str]:
    """Return database -> sha256 of its list of cases: it names the records."""
    return {
        name: _sha256(store.folder / "cases.json")
        for name, store in stores.items()
    }


def _splits_of(
    stores: dict[str, RecordStore],
) -> dict[str, dict[str, list[str]]]:
    """Return what `build.splits.file` takes: who trained, who did not."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, store in stores.items():
        for case in store.cases:
            splits = found.setdefault(name, {})
            splits.setdefault(case.split, []).append(case.case)
    return found


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise InputError(
            f"{path}: expected a file of the records, found none. Build the "
            f"records again."
        )
    return file_hash(path)


def _differences(
    before: Any, now: Any, path: tuple[str, ...] = ()
) -> list[str]:
    """Dotted names of the fields in which two resolved configs differ."""
    if path in FREE_FIELDS or before == now:
        return []
    if _same_length(before, now):  # the items of a list share its name
        pairs = zip(before, now, strict=True)
        found = [_differences(b, n, path) for b, n in pairs]
        return list(dict.fromkeys(name for names in found for name in names))
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [".".join(path) or "its config"]
    names = list(dict.fromkeys([*before, *now]))
    return [
        difference
        for name in names
        for difference in _differences(
            before.get(name), now.get(name), (*path, name)
        )
    ]


def _same_length(before: Any, now: Any) -> bool:
    both = isinstance(before, list) and isinstance(now, list)
    return both and len(before) == len(now)
