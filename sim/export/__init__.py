"""Files that other tools open, and the folder of everything that a run leaves."""
