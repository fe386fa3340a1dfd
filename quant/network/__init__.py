"""The float encoder with an exit after every layer: checkpoints, tokens, logits. Needs torch."""
