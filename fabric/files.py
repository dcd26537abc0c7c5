"""Replaces files atomically: a reader sees the old content or the new content."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: str | bytes, executable: bool = False) -> None:
    """Replaces the file at the path by one with this content."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    if executable:
        staged.chmod(0o755)
    os.replace(staged, path)
