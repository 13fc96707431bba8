"""Peak memory of a fit on an array in memory, beyond what was there before it.

In a fresh process: imports, a tiny fit (so that libraries have their own buffers), then a
float32 array of 2,000,000 x 30 is made in pieces, then `AutoEncoder().fit` of it. The peak of
the resident memory during the fit, less what was resident before the array was made, may be
the array, as much again, and the model. A thread looks at the resident memory every few
milliseconds and at which of our functions is at work, so that a rise has a name.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Claim, Result, child, main
from benchmarks.made import correlated

TITLE = "peak memory of a fit on 2,000,000 x 30 float32 (240 MB)"
SECONDS_BETWEEN_LOOKS = 0.002


def run(quick: bool) -> Result:
    """Fit in fresh processes: float32, and for comparison float64."""
    if not Path("/proc/self/status").exists():
        return Result(TITLE, skipped="resident memory is read from /proc, which this system has not")
    n = 200_000 if quick else 2_000_000
    claims, figures = [], {}
    for kind in ("float32", "float64"):
        seen = json.loads(child("benchmarks.memory", "measure", kind, str(n)))
        figures[kind] = seen
        # The model and the optimizer's copies of it belong to what is allowed.
        share = (seen["peak"] - seen["before"] - 6 * seen["model"]) / seen["array"]
        must = 2.0 if kind == "float32" else None
        claims.append(Claim(f"{kind}: peak, in arrays (the array itself is 1)", share, must=must))
    return Result(TITLE, claims, figures)


class Watch:
    """Looks at resident memory from a thread of its own, and notes what the caller's thread did at each rise."""

    def __init__(self, least: int) -> None:
        self.rises: list[tuple[str, int]] = []
        self._least, self._highest = least, status("VmRSS")
        self._watched = threading.get_ident()
        self._done = threading.Event()
        self._looker = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._looker.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._looker.join()

    def _look(self) -> None:
        while not self._done.wait(SECONDS_BETWEEN_LOOKS):
            resident = status("VmRSS")
            if resident < self._highest + self._least:
                continue
            self._highest = resident
            calls = [
                f"{Path(call.filename).stem}.{call.name}"
                for call in traceback.extract_stack(sys._current_frames().get(self._watched))
                if "isthmus" in Path(call.filename).parts
            ]
            place = " > ".join(calls[-3:])
            if self.rises and self.rises[-1][0] == place:
                self.rises.pop()
            self.rises.append((place, resident))


def status(field: str) -> int:
    """Return a figure of this process, bytes: VmRSS (resident now) or VmHWM (its peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {field}")


def measure(kind: str, n: int) -> dict[str, Any]:
    """Fit once in this process, watched."""
    from isthmus import AutoEncoder

    small = correlated(512, seed=5, dtype=np.dtype(kind).type)
    AutoEncoder(max_epochs=1, random_state=0).fit(small).score_samples(small)
    before = status("VmRSS")
    array = correlated(n, seed=6, dtype=np.dtype(kind).type)
    with_array = status("VmRSS")
    # 5: forget the peak so far (making the rows had its own).
    Path("/proc/self/clear_refs").write_text("5")
    with Watch(array.nbytes // 50) as watch:
        model = AutoEncoder(max_epochs=1, random_state=0).fit(array)
    peak = status("VmHWM")
    return {
        "before": before,
        "with_array": with_array,
        "peak": peak,
        "array": array.nbytes,
        "model": sum(parameter.nbytes for parameter in model.module_.parameters()),
        "rises_in_arrays": [[place, (resident - before) / array.nbytes] for place, resident in watch.rises],
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main(run)
