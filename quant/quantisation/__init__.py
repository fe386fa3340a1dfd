"""The encoder quantised by Brevitas, and its integer logits on text. Needs torch."""
