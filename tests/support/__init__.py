"""What tests share: oracles, tiny models, runs of the command line."""
