"""Logits recorded once and replayed: traces, their cache, published exit profiles, the float reference."""
