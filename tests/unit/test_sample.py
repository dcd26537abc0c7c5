"""The sample file is what the options say now."""

import subprocess
from pathlib import Path

from fabric.program import command

SAMPLE = Path("etc/porter_ryu/porter_ryu.conf.sample")


def test_the_sample_is_up_to_date(tmp_path: Path) -> None:
    fresh = tmp_path / "sample"
    argv = [command("oslo-config-generator"), "--namespace", "porter_ryu"]
    subprocess.run([*argv, "--output-file", str(fresh)], check=True)
    assert SAMPLE.read_text() == fresh.read_text(), "run `make sample`"
