"""What is known of a problem beyond its definition: test sets, null predictors, independent oracles, proofs."""
