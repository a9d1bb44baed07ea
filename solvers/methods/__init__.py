"""One file for each method: its registered rows, and the estimator, trainer or network that no other method has."""
