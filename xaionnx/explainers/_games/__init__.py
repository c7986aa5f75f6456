"""What the methods share that explain by removing."""
