"""Joint training of all exits: losses, teacher, vocabulary, loop."""
