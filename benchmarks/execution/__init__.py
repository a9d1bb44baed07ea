"""Measuring cells: in this process, isolated in a child process, many at once, on a cluster."""
