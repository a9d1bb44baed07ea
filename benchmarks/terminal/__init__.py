"""Reads what people type on the command line and in matrices, and writes results for them."""
