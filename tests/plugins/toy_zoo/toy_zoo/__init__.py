"""A problem and a solver that plug into pdezoo, one file each."""
