"""`isthmus --help`: processor time of the whole process, and whether torch was imported."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import Claim, Result, main, range_of

TITLE = "isthmus --help"
# The console script's own work, in a process that can be asked afterwards what it imported.
PROBE = """
import sys
from importlib.metadata import entry_points
sys.argv = ["isthmus", "--help"]
(script,) = entry_points(group="console_scripts", name="isthmus")
try:
    script.load()()
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, len(sys.modules), file=sys.stderr)
"""


def run(quick: bool) -> Result:
    """Time the script in fresh processes."""
    script = Path(sys.executable).with_name("isthmus")
    if not script.exists():
        return Result(TITLE, skipped=f"there is no {script.name} beside this Python; install isthmus into it")
    cpu, wall = [], []
    # The first run writes byte code and fills the file cache, and is not counted.
    for turn in range(6 if quick else 21):
        before, began = _children(), time.perf_counter()
        subprocess.run([script, "--help"], check=True, stdout=subprocess.DEVNULL)
        if turn:
            cpu.append(_children() - before)
            wall.append(time.perf_counter() - began)
    said = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True).stderr.split()
    imported, modules = said[-2] == "True", int(said[-1])
    claims = [
        Claim("processor time", must=0.2, aim=0.1, unit=" s", **range_of(cpu)),
        Claim("imports of torch", float(imported), must=0.0),
    ]
    return Result(TITLE, claims, {"cpu_s": cpu, "wall_s": wall, "modules_imported": modules})


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(run)
