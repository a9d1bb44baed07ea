"""Families of exact solutions that several equations share: few-body sums, semilinear evolutions, solitons."""
