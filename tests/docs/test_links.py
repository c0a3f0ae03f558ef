"""Every relative link of the documents leads to a file; scripts are verbs."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
NUMBERS = {"Two": 2, "Three": 3, "Four": 4, "Five": 5}


def broken_links(document: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    text = re.sub(r"(?s)```.*?```", "", document.read_text(encoding="utf-8"))
    targets = [
        target.partition("#")[0]
        for target in LINK.findall(text)
        if not re.match(r"[a-z]+:|#", target)
    ]
    return [t for t in targets if not (document.parent / unquote(t)).exists()]


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda p: str(p.relative_to(REPOSITORY))
)
def test_relative_links_lead_to_files(document: Path) -> None:
    assert broken_links(document) == []


def test_the_check_can_fail(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "[a](a.md#here) [web](https://x.org/y) [b](#b) ![c](no.png) "
        '[d](<no.md> "title")\n```\n[e](not_a_link)\n```\n'
    )
    assert broken_links(document) == ["no.png", "no.md"]


def test_readme_names_every_script_of_another_name() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "scripts").glob("*.py")):
        verb = re.search(r"main\(\[\"([\w-]+)\"", path.read_text("utf-8"))
        assert verb is not None
        if verb.group(1) == path.stem:
            assert f"`{path.stem}`" in readme
        else:
            assert f"`{verb.group(1)}` is" in readme
            assert f"`scripts/{path.name}`" in readme


def test_architecture_counts_the_contracts() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    contracts = [s for s in setup.sections() if ":contract:" in s]
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    number = re.search(r"(\w+) more contracts", page)
    assert number is not None
    # Beside the one of the layers.
    assert NUMBERS[number.group(1)] == len(contracts) - 1
