"""When everything happens: the cycle-level simulator, its command line and its reports."""
