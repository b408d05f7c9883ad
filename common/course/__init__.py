"""What there is to solve, read from the folders. Nothing here runs a learner's code or needs torch."""
