"""What is explained: a scalar of the model's outputs, chosen, resolved, and read in numpy or in the graph."""
