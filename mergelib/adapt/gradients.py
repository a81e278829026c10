"""How does a task's loss change with the weights? Gradients, of many pictures or of each, and the Fisher information."""

import torch
from torch.nn.functional import cross_entropy

from ..networks.clip import image_features
from ..progress import progress


def tower_with(state, suite):
    """The suite's image tower with a state dict in it, ready for gradients."""
    tower = suite.network()
    tower.load_state_dict(state)
    return tower


def loss_gradient(state, suite, task, split="validation", count=None):
    """Gradient of one task's mean cross-entropy (nats) at a state dict: name -> tensor of the weight's shape.

    `state`: state dict of the suite's image tower; the head stays frozen. The first `count` labelled pictures of `split` are
    used.
    """
    pixels, labels = suite.pictures(task, split, count)
    tower, head = tower_with(state, suite), suite.heads[task]
    labels, size = torch.as_tensor(labels, device=head.device), suite.gradient_batch or len(pixels)
    for i in range(0, len(pixels), size):
        images, truth = suite.images(pixels[i:i + size]), labels[i:i + size]
        loss = cross_entropy(image_features(tower, images) @ head, truth)
        (loss * (len(truth) / len(pixels))).backward()
    return {name: weight.grad for name, weight in tower.named_parameters()}


def absolute_gradient(state, suite, task, split="train", count=128):
    """Mean over pictures of the absolute gradient of each one's cross-entropy (TATR Eq. 6): name -> weight's shape.

    Arguments as for `loss_gradient`. Not the absolute value of the mean: single pictures may pull in opposite directions.
    """
    pixels, labels = suite.pictures(task, split, count)
    tower, head = tower_with(state, suite), suite.heads[task]
    labels, weights = torch.as_tensor(labels, device=head.device), dict(tower.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for picture, label in zip(suite.images(pixels).split(1), labels.split(1)):
        loss = cross_entropy(image_features(tower, picture) @ head, label)
        for name, gradient in zip(total, torch.autograd.grad(loss, weights.values())):
            total[name] += gradient.abs() / len(pixels)
    return total


def fisher_information(state, suite, task, split="train", count=256):
    """Diagonal Fisher information E_x sum_y p(y|x) (d log p(y|x) / d theta)^2 (Matena & Raffel 2022, Eq. 2): name -> shape.

    Exact over the classes and example by example; labels are not used. Arguments as for `loss_gradient`.
    """
    pixels, _ = suite.pictures(task, split, count)
    tower, head = tower_with(state, suite), suite.heads[task]
    weights = dict(tower.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for picture in progress(suite.images(pixels).split(1), f"Fisher information of {task}", delay=2):
        log_p = (image_features(tower, picture) @ head).log_softmax(dim=1)[0]
        each_class = torch.diag(log_p.detach().exp().sqrt())       # row y gives sqrt(p_y) d log p_y
        for name, rows in zip(total, torch.autograd.grad(log_p, weights.values(), each_class, is_grads_batched=True)):
            total[name] += rows.square().sum(dim=0) / len(pixels)
    return total
