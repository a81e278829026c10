"""How does a task's loss change with the weights?"""

import torch
from torch.nn.functional import cross_entropy

from ..models import build_clip, image_features, normalise_pixels


def loss_gradient(state, suite, task, split="validation"):
    """Gradient of one task's mean cross-entropy (nats) at a state dict: name -> tensor of the weight's shape.

    `state`: state dict of the suite's image tower; the head stays frozen. The labelled pictures of `split` are used.
    """
    pixels, labels = suite.pictures(task, split)
    head = suite.heads[task]
    tower = build_clip(suite.model).visual.to(head.device)
    tower.load_state_dict(state)
    scores = image_features(tower, normalise_pixels(pixels, head.device)) @ head
    cross_entropy(scores, torch.as_tensor(labels, device=head.device)).backward()
    return {name: weight.grad for name, weight in tower.named_parameters()}
