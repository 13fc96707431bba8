"""Run rows of the compression table, each in a process of its own, and write them as one table."""

import benchmarks.compression
from benchmarks.harness import RESULTS
from benchmarks.running import command, rows_of

# Not rows of the table: what they share.
SHARED = ("fields", "images")

if __name__ == "__main__":
    command("benchmarks.compression", rows_of(benchmarks.compression, SHARED), RESULTS / "compression", __doc__)()
