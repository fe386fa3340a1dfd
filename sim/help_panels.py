"""Titles of the groups in which `--help` shows the options."""

MODEL = "Model and bits"
DATA = "Text"
RULE = "Exit rule"
HARDWARE = "Hardware"
OUTPUT = "Output"
