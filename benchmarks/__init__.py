"""Measures every solver on every problem, one cell at a time, keeps the results as records and shows them as tables.

This package knows `pdezoo` and `solvers` by their public names only. Importing it imports nothing else; asv
imports it to find the suites in `bench_*.py`.
"""
