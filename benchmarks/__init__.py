"""Measurements of speed, memory and quality against peers; `python -m benchmarks --help`."""
