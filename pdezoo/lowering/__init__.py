"""From SymPy to JAX: code, coefficients, batches of points, boundary data."""
