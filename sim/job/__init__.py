"""What is run: from options to the outcome of a run."""
