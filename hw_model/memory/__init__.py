"""Memory of a design: transfers from off chip, and what the on-chip buffers must hold."""
