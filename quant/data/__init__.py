"""Labelled text, and scores of predictions on it."""
