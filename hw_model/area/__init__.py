"""Area: the logic and memory blocks that a design takes, unit by unit, and whether they fit a part."""
