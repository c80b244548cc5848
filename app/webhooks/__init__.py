"""Other programs are told what happened: an experiment finished or failed, a score is the best so far."""
