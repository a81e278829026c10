"""Which networks are there, and how are they trained? CLIP's towers, T5, the training loop."""

import os

import torch

DEVICE = os.environ.get("MERGELIB_DEVICE", "cpu")       # where models are trained and measured, for example "cuda"
torch.backends.cudnn.allow_tf32 = False                  # fp32 means fp32 on a GPU too
