"""Pictures of findings, as bytes: the page carries them.

In: findings, the measures and files behind them. Out: finding -> PNG.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfpartial.audit.coarse import AIR_HU, COARSE_MM
from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import MeasureJob
from tfpartial.audit.same_scan.pairs import SameScan
from tfpartial.databases import read_case, stored_values
from tfpartial.errors import Faults, InputError
from tfpartial.evaluation.predictions import read_prediction
from tfpartial.metrics.groups import JOINER, stored_names
from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.panels import (
    black_figure,
    draw_plane,
    save_figure,
)
from tfpartial.reporting.views import VIEWS, Frame
from tfpartial.scans import Grid

# Of one kind; the list below it names them all.
PICTURES_PER_KIND = 12
# Bone and soft tissue at once: both tell whether a contour fits.
HU_WINDOW = (-200.0, 400.0)
Key = tuple[str, str]


def chosen_for_pictures(findings: Sequence[Finding]) -> list[Finding]:
    """Return the first findings of each kind that one case can show."""
    chosen: dict[str, list[Finding]] = {}
    for finding in findings:
        members = chosen.setdefault(finding.kind, [])
        if finding.case and len(members) < PICTURES_PER_KIND:
            members.append(finding)
    return [finding for members in chosen.values() for finding in members]


def draw_findings(
    findings: Sequence[Finding],
    jobs: Mapping[Key, MeasureJob],
    pairs: Mapping[tuple[str, str], SameScan],
) -> dict[Finding, bytes]:
    """Draw what can be drawn.

    Args:
        findings: to draw.
        jobs: (database, case) -> how it was measured.
        pairs: (name of one scan, name of the other), sorted -> pair.

    Returns:
        finding -> PNG; without those whose scan cannot be read.
    """
    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        for finding in findings:
            if finding.kind == "same_scan":
                a, b = sorted((finding.where, finding.others[0]))
                draw_pair(path, pairs[a, b])
            elif not _draw_case(path, finding, jobs):
                continue
            pictures[finding] = path.read_bytes()
    return pictures


def _draw_case(
    path: Path, finding: Finding, jobs: Mapping[Key, MeasureJob]
) -> bool:
    """Draw a case with its annotation; False if it cannot be read."""
    job = jobs[finding.database, finding.case]
    try:
        image, stored = read_case(job.case, job.database, job.space, Faults())
    except InputError:
        return False
    prediction = None
    if finding.kind == "disagreement" and job.prediction is not None:
        prediction = read_prediction(
            job.prediction, image, job.case.source.name, job.space
        )
    volume = job.case.in_patient_frame(image)
    names = dict(enumerate(job.space.names))
    references = stored_names(
        stored_values(job.database, job.space).sets, job.space
    )
    if finding.label:
        names, references = _only(finding.label, names, references)
    write_overlay(
        path,
        volume,
        stored.array,
        prediction,
        names,
        f"{finding.where} {finding.label}".rstrip(),
        reference_names=references,
        hu_window=HU_WINDOW,
    )
    return True


def _only(
    label: str, names: Mapping[int, str], references: Mapping[int, str]
) -> tuple[dict[int, str], dict[int, str]]:
    """Return the names of one structure: its labels, its stored codes."""
    parts = set(label.split(JOINER))
    return (
        {i: name for i, name in names.items() if name in parts},
        {
            code: name
            for code, name in references.items()
            if set(name.split(JOINER)) <= parts
        },
    )


def draw_pair(path: Path, pair: SameScan) -> None:
    """Draw two scans that are one: both in three planes, aligned.

    Upper row: a's planes; lower row: b's, turned and moved onto a.
    """
    aligned = move(pair.turned, pair.match.shift, pair.a.coarse.shape)
    both = np.minimum(pair.a.coarse, aligned) > AIR_HU / 2
    middle = [
        int(np.rint(axis.mean())) if len(axis) else n // 2
        for axis, n in zip(np.nonzero(both), both.shape, strict=True)
    ]
    affine = np.diag([COARSE_MM, COARSE_MM, COARSE_MM, 1.0])
    frame = Frame(Grid(pair.a.coarse.shape, affine))
    sizes = [frame.size_mm(view) for view in VIEWS]
    scale, gap, title = 2.4 / max(h for _, h in sizes), 0.15, 0.3
    width = gap + sum(w * scale + gap for w, _ in sizes)
    row = 2.4 + title
    figure = black_figure(width, 2 * row)
    for line, (name, hu) in enumerate(
        ((pair.a.name, pair.a.coarse), (pair.b.name, aligned))
    ):
        bottom, left = (1 - line) * row, gap
        figure.text(
            gap / width,
            (bottom + row - 0.2) / (2 * row),
            f"{name} ({(pair.a, pair.b)[line].split})",
            color="white",
            fontsize=9,
        )
        for view, (w, h) in zip(VIEWS, sizes, strict=True):
            box = (left / width, bottom / (2 * row))
            size = (w * scale / width, h * scale / (2 * row))
            axes = figure.add_axes((*box, *size))
            draw_plane(
                axes, frame, hu, view, middle[VIEWS[view][2]], HU_WINDOW, 8
            )
            left += w * scale + gap
    save_figure(figure, path)


def move(
    array: np.ndarray, shift: Sequence[int], shape: Sequence[int]
) -> np.ndarray:
    """Return an array moved by whole voxels onto another shape; else air.

    Example:
        move([1, 2, 3], shift 1, shape 3) -> [air, 1, 2]
    """
    result = np.full(shape, AIR_HU, array.dtype)
    to, source = [], []
    for offset, n, m in zip(shift, array.shape, shape, strict=True):
        low, high = max(0, offset), min(m, n + offset)
        if low >= high:
            return result
        to.append(slice(low, high))
        source.append(slice(low - offset, high - offset))
    result[tuple(to)] = array[tuple(source)]
    return result
