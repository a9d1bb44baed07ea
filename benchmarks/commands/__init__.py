"""The commands of `pdezoo`, one module each; `benchmarks.cli` reads their arguments."""
