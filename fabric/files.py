"""A file that takes the place of another at once: whoever looks sees the old one or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: str | bytes, executable: bool = False) -> None:
    """Puts a file with this content in place of whatever is at the path."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_bytes(content.encode() if isinstance(content, str) else content)
    if executable:
        staged.chmod(0o755)
    os.replace(staged, path)
