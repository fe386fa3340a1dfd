"""The exit unit as hardware: its pipeline, area and measurements, and the head in front of it."""
