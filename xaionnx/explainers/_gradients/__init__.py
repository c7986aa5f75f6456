"""What the methods share that ask for gradients."""
