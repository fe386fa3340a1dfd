"""Accelerators as data, published ones or a user's own: their description, its files, and the cycles of an op."""
