"""What is removed from an input, what stands in its place, and the game that is played with it."""
