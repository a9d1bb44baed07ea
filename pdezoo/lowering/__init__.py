"""From SymPy expressions to JAX functions: generated code, coefficients, batches of points, boundary data."""
