"""The cycle-level simulator: programs of tasks, the recurrence that runs them, streams of sentences."""
