"""The papers' headline numbers, one module per row of the table; `python -m benchmarks.papers --help`."""
