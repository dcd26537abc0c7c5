"""The literals of Ryu's options, against the Ryu that is installed."""

from __future__ import annotations

import json
import subprocess
import sys

ASKED = """
import json, sys
import porter_ryu_compat
porter_ryu_compat.install()
from porter_ryu.options_of_ryu import of_ryu
for module in sys.argv[1:]:
    __import__(module)
told = lambda o: [type(o).__name__, o.default, str(o.type), getattr(o.type, "min", None), o.multi]
print(json.dumps({option.dest: told(option) for option in of_ryu()}))
"""
# where Ryu registers them, in the only order that works; the manager patches what it imports
MODULES = ["ryu.cmd.manager", "ryu.app.wsgi", "ryu.flags", "ryu.log", "ryu.topology.switches"]


def told(*modules: str) -> dict[str, list[object]]:
    """Each option, after these modules were imported."""
    argv = [sys.executable, "-c", ASKED, *modules]
    done = subprocess.run(argv, capture_output=True, check=True)
    found: dict[str, list[object]] = json.loads(done.stdout)
    return found


def test_each_is_as_ryu_registers_it() -> None:
    literals, registered = told(), told(*MODULES)
    assert literals == registered
    assert len(literals) > 20


def test_a_list_of_them_imports_no_part_of_ryu_that_has_them() -> None:
    text = "import sys; from porter_ryu.options_of_ryu import of_ryu; of_ryu(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True, text=True)
    packages = {name.rpartition(".")[0] for name in done.stdout.split()}
    assert not packages & {"ryu.controller", "ryu.app", "ryu.base", "ryu.ofproto", "ryu.topology"}
