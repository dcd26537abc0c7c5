"""docs/architecture.md names what is there: every module in the map, no file that is not, and the
only dataclasses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path("docs/architecture.md").read_text()
PACKAGE = Path("porter_ryu")
ROW = re.compile(r"^\| `([a-z_/]+)/` \| (.*) \|$", re.MULTILINE)
FOLDERS = sorted({path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE})
HOUSE = PAGE.partition("```\n")[2].partition("```")[0]


def modules(folder: Path) -> list[str]:
    """The modules of a folder."""
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def is_named(module: str, text: str) -> bool:
    """Whether a text names a module, alone or with others that begin alike (`yaml*`)."""
    names = re.findall(r"[a-z0-9_]+\*?", text)
    return any(module == n or (n.endswith("*") and module.startswith(n[:-1])) for n in names)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_the_map_names_every_module_of_a_folder(folder: Path) -> None:
    rows = dict(ROW.findall(PAGE))
    text = rows.get(str(folder.relative_to(PACKAGE)), "")
    assert text, f"{folder} has no row in the map"
    missing = [module for module in modules(folder) if not is_named(module, text)]
    assert not missing


def test_the_picture_of_the_house_names_every_module_at_its_top() -> None:
    assert not [module for module in modules(PACKAGE) if not is_named(module, HOUSE)]


def test_every_file_that_the_page_names_is_there() -> None:
    files = re.findall(r"`([a-z0-9_./-]+\.(?:py|md|yaml|toml))`", PAGE)
    assert files
    missing = [name for name in files if not (PACKAGE / name).exists() and not Path(name).exists()]
    assert not missing


def test_only_those_that_the_page_names_are_dataclasses() -> None:
    text = "".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
    found = re.findall(r"^@(?:dataclasses\.)?dataclass.*\nclass (\w+)", text, re.MULTILINE)
    rule = PAGE.partition("Three are dataclasses: ")[2].partition("\n* ")[0]
    assert sorted(found) == sorted(re.findall(r"`([A-Z]\w+)`", rule))
