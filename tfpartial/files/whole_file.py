"""Files that appear whole or not at all.

In: a path, and what belongs there. Out: the file.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the goal, then rename: a kill leaves no half file.

    Flushed before it gets its name: nor does a loss of power.

    Args:
        path: the file; its folder exists.
        content: bytes, or text, which becomes UTF-8 as it stands.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
