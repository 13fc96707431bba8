"""Run rows of the anomalies' table, each in a process of its own, and write them as one table."""

import benchmarks.anomalies
from benchmarks.harness import RESULTS
from benchmarks.running import command, rows_of

# Not rows of the table: what they share.
SHARED = ("adbench", "contenders", "data", "judging", "splits")

if __name__ == "__main__":
    command("benchmarks.anomalies", rows_of(benchmarks.anomalies, SHARED), RESULTS / "anomalies", __doc__)()
