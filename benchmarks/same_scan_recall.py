"""How many copies of a scan does the audit find, of many?

    python benchmarks/same_scan_recall.py [--copies 60] [--seed 0]

Each copy is a scan of the OpenKBP databases, cropped at its sides and resampled
to 0.75 to 1.4 times its spacing, at random, and stored with other axes. All of
them lie beside all scans. TFPARTIAL_OPENKBP names the folder of the databases,
which is only read. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from plant_faults import reordered

from tfpartial.audit.coarse import coarse_copy
from tfpartial.audit.same_scan.fingerprint import Fingerprint
from tfpartial.audit.same_scan.pairs import find_same_scans
from tfpartial.audit.same_scan.profiles import plane_profiles
from tfpartial.reporting.views import Frame
from tfpartial.scans import Volume, read_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    root = Path(os.environ["TFPARTIAL_OPENKBP"]) / "openkbp"
    paths = sorted([*root.rglob("ct.nii.gz"), *root.rglob("*_0000.nii.gz")])
    rng = np.random.default_rng(arguments.seed)
    scans = [fingerprint("scan", n, read_image(p)) for n, p in enumerate(paths)]
    chosen = rng.choice(len(paths), arguments.copies, replace=False)
    copies = [
        fingerprint("copy", n, reordered(read_image(paths[n]), [], rng)[0])
        for n in map(int, chosen)
    ]
    begin = time.perf_counter()
    pairs = [(same.a, same.b) for same in find_same_scans([*scans, *copies])]
    right = [a.case == b.case for a, b in pairs]
    print(
        json.dumps(
            {
                "scans": len(scans),
                "copies": len(copies),
                "found": sum(right),
                "wrong_pairs": len(right) - sum(right),
                "seconds": round(time.perf_counter() - begin, 1),
            }
        )
    )


def fingerprint(database: str, number: int, volume: Volume) -> Fingerprint:
    """Return what finds a scan again; its hash says nothing here."""
    frame = Frame(volume.grid)
    near_ras = Volume(frame.reorder(volume.array), frame.grid.affine)
    coarse = coarse_copy(near_ras)
    return Fingerprint(
        database=database,
        case=str(number),
        split="train",
        spacing_mm=near_ras.spacing_mm,
        exact_hash=f"{database}/{number}",
        coarse=coarse,
        profiles=plane_profiles(coarse),
        voxel_profiles=plane_profiles(coarse),
        read=lambda: near_ras,
    )


if __name__ == "__main__":
    main()
