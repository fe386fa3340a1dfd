"""The exit unit as HLS projects and RTL, with test vectors and proof."""
