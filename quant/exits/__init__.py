"""Exit rules: as records, as published, as integers, as an exit unit."""
