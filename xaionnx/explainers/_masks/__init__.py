"""What methods share that search for a mask over the positions of an input."""
