"""Which networks are there, and how are they trained? CLIP's towers, T5, the training loop."""
