"""The objectives of searches, one a file."""
