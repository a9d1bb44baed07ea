"""The cross of problems and solvers: one measured cell after another, kept as records and shown as tables.

This package knows `pdezoo` and `solvers` by their public names only. Importing it imports nothing else; asv
imports it to find the suites in `bench_*.py`.
"""
