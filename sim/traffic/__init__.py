"""The stream that a design is put under: when sentences come, how long they are, how many it sustains."""
