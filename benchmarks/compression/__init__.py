"""The table of compression, one module per row; `python -m benchmarks.compression --help`."""
