"""Monte Carlo without training: u at a point is an expectation, and is averaged there."""
