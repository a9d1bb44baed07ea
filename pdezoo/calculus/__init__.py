"""Symbolic calculus: operators as data, functions of many coordinates, exact derivatives at any dimension."""
