"""Numbers of a real run, weight by weight."""
