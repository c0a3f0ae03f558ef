"""The memory of a process that draws patches from records.

    python benchmarks/scaling_memory.py RECORDS_DIR

Prints JSON: bytes of anonymous memory (mapped files left out) before the
records are opened, and the most after each of the patches. numpy alone: what
TensorFlow takes is not what grows with the number of scans.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tfpartial.data.patches import PatchSampler
from tfpartial.records.store import RecordStore
from tfpartial.scans import normalise

PATCH, COUNT = (32, 32, 32), 300
WINDOW = (-200.0, 200.0)


def anonymous_bytes() -> int:
    """Return what this process holds that is no file."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")


def main() -> None:
    before = anonymous_bytes()
    store = RecordStore(sys.argv[1], "scans")
    sampler = PatchSampler(
        {"scans": store}, supervision={}, weights={}, label_share=0.7,
        patch_shape=PATCH, seed=0,
    )  # fmt: skip
    most = 0
    for step in range(COUNT):
        place = sampler.draw(step, 0)
        image, _ = store.read_region(
            place.case_number, place.start, PATCH, -200, store.ignore_value
        )
        case = store.cases[place.case_number]
        normalise(image, case.mean, case.sd, WINDOW)
        most = max(most, anonymous_bytes())
    print(json.dumps({"before": before, "most": most}))


if __name__ == "__main__":
    main()
