"""The reference pages name what the program has: all of it, and nothing else."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import pytest

from porter_ryu.domain import verdict

DOCS = Path(__file__).parents[2] / "docs"


def rows(page: str, heading: str) -> list[str]:
    """The first cells of the table under a heading, without the header of the table."""
    _, _, rest = (DOCS / page).read_text().partition(f"\n## {heading}\n")
    assert rest, f"{page} has no heading {heading}"
    section = rest.partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "reasons"),
    [
        ("Conditions of a Service", verdict.Reason),
        ("Conditions of an Eip", verdict.PoolReason),
        ("Eips, as `explain` judges them for a Service", verdict.DrawReason),
        ("Nodes", verdict.NodeReason),
        ("Addresses of nodes", verdict.AddressReason),
    ],
)
def test_every_reason_is_explained(heading: str, reasons: type[enum.Enum]) -> None:
    assert rows("reasons.md", heading) == [reason.value for reason in reasons]


def test_every_document_is_listed_and_every_link_leads_somewhere() -> None:
    listed = (DOCS.parent / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert f"](docs/{page.name})" in listed, f"README.md does not list {page.name}"
        for target in re.findall(r"\]\(([^)#]+\.\w+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (DOCS / target).exists(), f"{page.name} links to {target}"
