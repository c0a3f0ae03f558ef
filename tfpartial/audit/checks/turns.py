"""The turns and mirrors that a scan may have suffered, and their words.

In: nothing. Out: signs along the patient's x, y, z -> what they mean.
"""

from __future__ import annotations

Signs = tuple[int, int, int]
AS_IT_IS: Signs = (1, 1, 1)
MIRRORED_SIDES: Signs = (-1, 1, 1)
TURNS: dict[Signs, str] = {
    (-1, -1, 1): "turned by 180 degrees about the long axis (prone taken for "
    "supine, or the other way round)",
    (1, -1, -1): "turned by 180 degrees about the left-right axis (head and "
    "feet, front and back exchanged)",
    (-1, 1, -1): "turned by 180 degrees about the front-back axis (head and "
    "feet, left and right exchanged)",
    (-1, 1, 1): "mirrored left to right (labels of the two sides exchanged, or "
    "the scan mirrored)",
    (1, -1, 1): "mirrored front to back",
    (1, 1, -1): "mirrored head to feet",
    (-1, -1, -1): "mirrored along all three axes",
}
