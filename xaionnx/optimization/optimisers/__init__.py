"""How searches move, one optimiser a file."""
