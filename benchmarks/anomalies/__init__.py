"""The anomalies' table, one module per row; `python -m benchmarks.anomalies --help`."""
