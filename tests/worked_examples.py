"""The code of a page of docs/extending, run as it stands there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

PAGES = Path(__file__).resolve().parents[1] / "docs" / "extending"


def example_of(page: str) -> dict[str, Any]:
    """Return the names that the first Python block of a page defines."""
    text = (PAGES / page).read_text(encoding="utf-8")
    (block, *_) = re.findall(r"(?s)^ *```python\n(.*?)^ *```", text, re.M)
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(block), page, "exec"), names)
    return names
