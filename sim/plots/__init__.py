"""Pictures ready to print, a module a family."""
