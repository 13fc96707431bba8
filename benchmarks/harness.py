"""What every benchmark shares: interleaved timing, claims, results as JSON, fresh processes."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

__all__ = [
    "Claim",
    "Missing",
    "Result",
    "Times",
    "chained",
    "child",
    "interleaved",
    "main",
    "range_of",
    "ratios",
    "say",
    "t_interval",
]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "isthmus",
    "torch",
    "numpy",
    "scikit-learn",
    "polars",
    "pyod",
    "pythae",
    "vector-quantize-pytorch",
    "umap-learn",
    "zfpy",
    "pysz",
    "constriction",
    "faiss-cpu",
)


class Missing(Exception):
    """The data or the peer of a benchmark is not here; the message says which, and what to do."""


@dataclass(frozen=True)
class Claim:
    """One measured number beside what it must and should be.

    Attributes
    ----------
    what : str
        What was measured, in a few words.
    measured : float
        The median or mean.
    better : {'lower', 'higher'}
        Which way is good.
    must, aim : float, optional
        Limits; None for a number that is only shown.
    low, high : float, optional
        The spread of the measurement; what it is, ``spread`` says.
    unit : str
        Such as 's' or 'x'; empty for a plain ratio.
    spread : str
        What ``low`` and ``high`` are: the range of the runs, or an interval of confidence.
    """

    what: str
    measured: float
    better: str = "lower"
    must: float | None = None
    aim: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    spread: str = "range of runs"

    def reaches(self, limit: float | None) -> bool:
        """Whether the measured number is as good as a limit."""
        if limit is None:
            return False
        return self.measured <= limit if self.better == "lower" else self.measured >= limit

    @property
    def verdict(self) -> str:
        """'aim', 'must', 'missed', or nothing where there is no limit."""
        if self.must is None and self.aim is None:
            return ""
        if self.reaches(self.aim):
            return "aim"
        return "must" if self.reaches(self.must) else "missed"


@dataclass
class Result:
    """What a benchmark found.

    Attributes
    ----------
    title : str
        A line for people.
    claims : list of Claim
        The numbers that count.
    figures : dict
        All else that was measured: raw times, profiles, settings.
    skipped : str
        Why nothing was measured, if nothing was.
    """

    title: str
    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""


@dataclass
class Times:
    """Seconds of each run of one contender: on the clock, and of processor time."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median on the clock."""
        return statistics.median(self.wall)

    def summary(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "wall_s": self.wall,
            "cpu_s": self.cpu,
            "median_wall_s": self.median,
            "median_cpu_s": statistics.median(self.cpu),
        }


def interleaved(contenders: dict[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, Times]:
    """Time contenders in turn, A B A B ..., so that a change of the machine's pace meets all alike.

    The first ``warm_up`` rounds are not counted.
    """
    times = {name: Times() for name in contenders}
    for turn in range(warm_up + rounds):
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if turn >= warm_up:
                times[name].wall.append(time.perf_counter() - wall)
                times[name].cpu.append(time.process_time() - cpu)
    return times


def chained(pieces: dict[str, Callable[[Any], Any]], starts: Sequence[Any]) -> dict[str, float]:
    """Return the median seconds of each piece of a step, and their sum.

    A piece is given what the last piece that returned something returned, the first one an
    element of ``starts``. The first tenth of the turns is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    for turn, start in enumerate(starts):
        value = start
        for name, piece in pieces.items():
            began = time.perf_counter()
            given_on = piece(value)
            spent = time.perf_counter() - began
            value = value if given_on is None else given_on
            if turn >= len(starts) // 10:
                seconds[name].append(spent)
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    return medians | {"sum": sum(medians.values())}


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round's pair of times."""
    return [a / b for a, b in zip(above, below, strict=True)]


def range_of(values: Sequence[float]) -> dict[str, Any]:
    """Return median, least and greatest, as fields of a Claim."""
    return {"measured": statistics.median(values), "low": min(values), "high": max(values)}


def t_interval(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean and its 95 % confidence interval (Student's t), as fields of a Claim."""
    from scipy.stats import t  # scikit-learn brings it; the light benchmarks start without it

    mean = statistics.fmean(values)
    half = math.nan
    if len(values) > 1:
        half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return {
        "measured": mean,
        "low": mean - half,
        "high": mean + half,
        "spread": f"95 % interval, {len(values)} seeds",
    }


def child(module: str, *arguments: str, threads: int | None = None) -> str:
    """Run ``python -m module arguments`` in a fresh process and return what it printed.

    Raises
    ------
    RuntimeError
        If it failed, with the end of what it said.
    """
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"python -m {module} {' '.join(arguments)} failed:\n{done.stderr[-2_000:]}")
    return done.stdout


def say(line: str) -> None:
    """Tell how a long run goes on, apart from its result."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: processor, threads, versions, how busy it is."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        facts |= {"vector_instructions": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    return facts


def main(run: Callable[..., Result], *options: click.Option) -> None:
    """Give a benchmark its command line: ``python -m benchmarks.NAME [--quick] [--out FILE]``.

    Options besides these are passed to ``run`` by name.
    """

    @click.command(help=(sys.modules[run.__module__].__doc__ or "").replace("\n\n", "\n\n\b\n"))
    @click.option("--quick", is_flag=True, help="Small data and few runs: to see that it works, not to quote.")
    @click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the result as JSON here.")
    def command(quick: bool, out: Path | None, **more: Any) -> None:
        facts = machine()
        began = time.perf_counter()
        try:
            result = run(quick, **more)
        except Missing as missing:
            result = Result((run.__doc__ or "").partition("\n")[0], skipped=str(missing))
        # Again, for by now the benchmark has imported all that it uses.
        facts = machine() | {"load_before": facts["load_before"]}
        record = {"quick": quick, "seconds": time.perf_counter() - began, "machine": facts} | asdict(result)
        text = json.dumps(record, indent=1, default=float)
        if out is None:
            click.echo(text)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text + "\n")

    command.params.extend(options)
    command()
