"""What the exit unit costs: pipeline, area, measurements, the head in front of it."""
