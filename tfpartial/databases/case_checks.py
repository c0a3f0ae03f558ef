"""What a database's declaration and its files say of each other.

In: a database, the sources that its layout found. Out: faults, collected.
No file is opened here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfpartial.config.database import IGNORE, Database
from tfpartial.databases import layouts
from tfpartial.databases.layouts.base import Layout
from tfpartial.databases.sources import SCAN, ScanSource, remedy_for
from tfpartial.databases.stored_values import StoredValues
from tfpartial.errors import Faults, did_you_mean, join_names
from tfpartial.files.visible import visible_entries
from tfpartial.labels import BACKGROUND, LabelSpace
from tfpartial.scans.formats import readable_kinds
from tfpartial.scans.formats.unread_images import image_stem, unread_images

SHOWN_STRUCTURES = 5


def check_fields(database: Database, layout: Layout, faults: Faults) -> None:
    """Refuse fields without effect and unknown names in `priority`.

    Declaring a field that this layout does not read is a misunderstanding
    that must not pass silently.
    """
    users: dict[str, list[str]] = {}
    for known in layouts.LAYOUTS:
        for name in known.fields:
            users.setdefault(name, []).append(known.name)
    fields = type(database).model_fields
    for name in sorted(users.keys() - layout.fields):
        default = fields[name].get_default(call_default_factory=True)
        if getattr(database, name) == default:
            continue
        faults.add(
            f"database '{database.name}': '{name}' has no effect in layout "
            f"'{layout.name}' (only in {', '.join(users[name])}). Remove it."
        )
    for structure in database.priority:
        if structure not in database.values:
            faults.add(
                f"database '{database.name}': 'priority' names "
                f"'{structure}', which 'values' does not declare."
                + did_you_mean(structure, database.values)
            )


def check_files(
    sources: Mapping[str, ScanSource], database: Database, faults: Faults
) -> None:
    """Refuse missing files, and a scan that is two cases (through a link).

    Case ids name files of outputs: one that is a path is refused, too.
    """
    for case_id in sources:
        if not case_id or case_id in (".", "..") or set(case_id) & set("/\\\0"):
            faults.add(
                f"database '{database.name}': expected case ids that can be "
                f"names of files, found '{case_id}'. Rename the case."
            )
    missing: dict[tuple[str, str], list[str]] = {}
    owners: dict[tuple[Path, ...], str] = {}
    for case_id, source in sorted(sources.items()):
        for role, paths in source.files.items():
            for path in paths:
                if not path.is_file():
                    kind, found = _instead_of_file(path)
                    missing.setdefault((role, kind), []).append(found)
        scan = tuple(sorted(path.resolve() for path in source.files[SCAN]))
        owner = owners.setdefault(scan, case_id)
        if owner != case_id and all(path.is_file() for path in scan):
            faults.add(
                f"database '{database.name}': cases '{owner}' and '{case_id}' "
                f"are the same scan {join_names(scan, 1)}. List one of them "
                f"under 'exclude'."
            )
    for (role, kind), places in missing.items():
        faults.add(
            f"database '{database.name}': expected a {role} in every case, "
            f"{role} not found for {len(places)} case(s){kind}: "
            f"{join_names(places)}. Restore the file(s), or list the case(s) "
            f"under 'exclude'."
        )


def _instead_of_file(path: Path) -> tuple[str, str]:
    """Return what kind of thing is where a file should be, and its words."""
    if path.is_symlink() and not path.exists():
        return (
            ", but links that lead nowhere (fetch what they stand for, such "
            "as by 'datalad get')",
            f"{path} -> {path.readlink()}",
        )
    if path.is_dir():
        return ", but folders", str(path)
    wanted = image_stem(path.name) or path.name
    unread = [
        other.name
        for other in unread_images(visible_entries(path.parent))
        if image_stem(other.name) == wanted
    ]
    if unread:
        return (
            f", but files of formats that are not read (convert them to "
            f"{readable_kinds()})",
            f"{path} ({join_names(unread)})",
        )
    return "", str(path)


def check_undeclared(
    sources: Mapping[str, ScanSource], database: Database, faults: Faults
) -> None:
    """Refuse structures that `values` leaves out, unless `others` says more.

    A forgotten structure would silently be taught as background.
    """
    if database.others is not None:
        return
    undeclared = {
        structure: path
        for source in sources.values()
        for structure, path in source.undeclared.items()
    }
    if undeclared:
        first = next(iter(sorted(undeclared)))
        faults.add(
            f"database '{database.name}': expected every mask to be declared "
            f"under 'values', found {len(undeclared)} structure(s) that are "
            f"not: {join_names(sorted(undeclared), SHOWN_STRUCTURES)} (such "
            f"as {undeclared[first]}). {remedy_for(first)}"
        )


def check_keys(
    sources: Mapping[str, ScanSource], database: Database, faults: Faults
) -> None:
    """Refuse keys of `values` that no case has a mask for.

    Mapped to background or ignore, or with `absent_mask`, a misspelt one would
    pass.
    """
    there = {s for source in sources.values() for s in source.undeclared}
    nowhere = [
        key
        for key in database.values
        if sources
        and all(
            key in source.absent and source.absent[key] is None
            for source in sources.values()
        )
    ]
    for key in nowhere:
        meant = did_you_mean(key, sorted(there))
        # That a label has no mask, others say: absent_mask, and the build.
        if meant or database.values[key] in (IGNORE, BACKGROUND):
            faults.add(
                f"database '{database.name}': values '{key}': expected its "
                f"mask in some case, found none in any.{meant} Correct the "
                f"name, or remove it ('others' says what the rest means)."
            )


def annotated_override(database: Database, case_id: str) -> list[str] | None:
    """Return the labels a case declares as annotated, if it does."""
    override = database.cases.get(case_id)
    return None if override is None else override.annotated


def check_absent(
    sources: Mapping[str, ScanSource],
    database: Database,
    layout: Layout,
    stored: StoredValues,
    space: LabelSpace,
    faults: Faults,
) -> None:
    """Refuse absent structures that the declaration does not explain.

    A structure that means 'background' claims nothing, and one whose labels
    the case's override leaves out is expected to be absent.
    """
    unexplained: dict[str, list[str]] = {}
    misplaced: dict[str, list[Path]] = {}
    for case_id, source in sorted(sources.items()):
        names = annotated_override(database, case_id)
        for structure, place in source.absent.items():
            if stored.code_of[structure] == 0:
                continue
            labels = stored.labels_of(structure)
            claimed = names is not None and labels[space.vector(names)].any()
            if labels.any() and names is not None and not claimed:
                continue
            if place is not None:
                misplaced.setdefault(structure, []).append(place)
            elif database.absent_mask == "error":
                unexplained.setdefault(structure, []).append(case_id)
            elif database.absent_mask == "not_annotated" and claimed:
                faults.add(
                    f"database '{database.name}': 'cases.{case_id}' "
                    f"declares labels of '{structure}' as annotated, but its "
                    f"mask is absent. Restore the mask, or correct the list."
                )
    for structure, places in misplaced.items():
        file = database.mask.replace("{structure}", structure)
        faults.add(
            f"database '{database.name}': expected the mask of '{structure}' "
            f"at {file} in a case's folder, as {readable_kinds()}, found "
            f"{len(places)} elsewhere or in another format: "
            f"{join_names(places)}. Move, rename or convert what is the mask; "
            f"rename what is not."
        )
    for structure, case_ids in unexplained.items():
        file = database.mask.replace("{structure}", structure)
        where = f" ({file})" if "mask" in layout.fields else ""
        faults.add(
            f"database '{database.name}': expected a mask of '{structure}'"
            f"{where} in every case, found none in {len(case_ids)} of "
            f"{len(sources)}: {join_names(case_ids)}. Restore it; or declare "
            f"'absent_mask: not_annotated' (unknown there) or 'empty' (known "
            f"to be absent); or list what these cases annotate under 'cases'."
        )
