"""What can be shown of the inside of a model, one view a file."""
