"""Solutions that several equations share: few-body sums, semilinear evolutions, solitons."""
