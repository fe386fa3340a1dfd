"""Published accelerators recomputed, and SCALE-Sim run for real."""
