"""Run rows of the papers' table, each in a process of its own, and write them as one table."""

import benchmarks.papers
from benchmarks.harness import RESULTS
from benchmarks.running import command, rows_of

# Not rows of the table: what they share.
SHARED = ("data", "classifier", "larochelle", "sprites")

if __name__ == "__main__":
    command("benchmarks.papers", rows_of(benchmarks.papers, SHARED), RESULTS / "papers", __doc__)()
