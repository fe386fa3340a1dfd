"""The report of a run: the record, the screen, files that other tools open."""
