"""Measures cells: in this process, isolated in a child process, many at once, or on a cluster."""
