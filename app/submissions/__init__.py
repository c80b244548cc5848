"""Online scores: what the contest said of a prediction file."""
