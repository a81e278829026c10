"""How does a method become a merged checkpoint? The plan, the one loop over the tensors, where results go."""
