"""Run benchmarks, each in a process of its own, and write their results as one table."""

from benchmarks.harness import RESULTS
from benchmarks.running import command

NAMES = ("startup", "step", "scoring", "fit_score", "peak", "memory", "mnist")

if __name__ == "__main__":
    command("benchmarks", NAMES, RESULTS, __doc__)()
