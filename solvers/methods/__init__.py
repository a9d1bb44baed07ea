"""One file per method: the estimator, trainer or network that is its own, and its named rows."""
