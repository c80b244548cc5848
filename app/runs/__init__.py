"""The queued pieces of an experiment, the attempts at them, and what they reported."""
