"""Plans measurements: turns a matrix, a campaign or a command line into cells with an identity."""
