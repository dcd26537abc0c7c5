"""One process at a time has a state_dir, and it can be told which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter_ryu import state_dir


def test_one_process_at_a_time_has_a_state_dir(tmp_path: Path) -> None:
    held = state_dir.lock(str(tmp_path))
    with pytest.raises(state_dir.StateDirTakenError, match=f"in use by process {os.getpid()}"):
        state_dir.lock(str(tmp_path))
    os.close(held)
    os.close(state_dir.lock(str(tmp_path)))
