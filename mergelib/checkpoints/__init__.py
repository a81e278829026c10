"""What lies on disk, and what of it can be merged? State dicts, shards, LoRA adapters, pickles, names."""
