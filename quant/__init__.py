"""What is computed: the early-exit encoder, its integers, the exit rules and the workload they imply."""
