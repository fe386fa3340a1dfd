"""What the network computes in integers, bit for bit, in numpy."""
