"""What searches change, one parametrisation a file."""
