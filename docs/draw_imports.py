"""Draw which room imports which (`make graph`): docs/images/imports.png.

In: the packages, and the layers of the import contract in setup.cfg. Out: a
picture, from which an arrow is left out where others lead the same way.
"""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURE = REPOSITORY / "docs" / "images" / "imports.png"


def layers() -> list[list[str]]:
    """Return the rooms of each layer of the import contract, top first."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    lines = setup["importlinter:contract:layers"]["layers"].strip()
    return [line.split(" | ") for line in lines.split("\n")]


def necessary_imports(rooms: list[str]) -> list[tuple[str, str]]:
    """Return the imports between rooms (top first) that no others imply."""
    graph = grimp.build_graph("tfpartial", "tfrecords_builder")
    reached: dict[str, set[str]] = {}
    kept = []
    for importer in reversed(rooms):
        imported = [
            room
            for room in rooms
            if room != importer
            and graph.direct_import_exists(
                importer=importer, imported=room, as_packages=True
            )
        ]
        for room in imported:
            if not any(room in reached[other] for other in imported):
                kept.append((importer, room))
        reached[importer] = {*imported}.union(*(reached[r] for r in imported))
    return kept


def draw(path: Path) -> None:
    """Draw rooms as boxes, layer by layer, and imports as arrows between."""
    rows = layers()
    places: dict[str, tuple[float, float]] = {}
    for height, row in enumerate(rows):
        # Every other row is moved aside: arrows pass beside its boxes.
        aside = (0.08, -0.08)[height % 2]
        for column, room in enumerate(row):
            places[room] = ((column + 0.5) / len(row) + aside, -height)
    figure = plt.figure(figsize=(8, 9))
    axes = figure.add_axes((0.05, 0, 0.9, 1))
    axes.set(xlim=(0, 1), ylim=(0.5 - len(rows), 0.5))
    axes.axis("off")
    boxes = {}
    for room, (x, y) in places.items():
        name = room.removeprefix("tfpartial.")
        style = {"boxstyle": "round", "facecolor": "white"}
        text = axes.text(x, y, name, ha="center", va="center", bbox=style)
        boxes[room] = text.get_bbox_patch()
    figure.canvas.draw()  # gives the boxes their sizes
    for importer, imported in necessary_imports(list(places)):
        arrow = {
            "arrowstyle": "-|>",
            "color": "tab:blue",
            "patchA": boxes[importer],
            "patchB": boxes[imported],
        }
        ends = (places[imported], places[importer])
        axes.annotate("", *ends, arrowprops=arrow, zorder=0)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
