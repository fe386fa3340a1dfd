"""Losses: each a pure function of what one step computed, in a file of its own."""
