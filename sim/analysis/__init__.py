"""What a simulated program shows on a closer look: waiting, rooflines, timelines, one product."""
