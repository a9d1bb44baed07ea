"""Measurements outside of the cross of problems and solvers, each run alone: `python -m benchmarks.instruments.NAME`."""
