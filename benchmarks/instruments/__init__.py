"""Single measurements that are no cell: `python -m benchmarks.instruments.NAME`."""
