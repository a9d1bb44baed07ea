"""What shall be measured: from a matrix, a campaign or a command line to cells with an identity."""
