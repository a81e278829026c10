"""What is a suite of pictures? Image towers whose features meet frozen heads."""

from abc import abstractmethod
from functools import partial

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import normalize

from ..measure.scoring import score
from ..networks.clip import build_tower, empty_tower, image_features, mean_entropy
from .suite import Suite

BATCH = 200      # pictures per forward pass


class PictureSuite(Suite):
    """A suite whose tasks are pictures to be classified."""

    gradient_batch = None         # how many pictures go through the tower together when weights have a gradient; None: all
    half = False                  # whether a GPU computes in half precision

    @abstractmethod
    def pictures(self, task, split, count=None):
        """(pixels uint8 N x height x width x 3, labels int64 N) of one task's split: all, or `count`.

        Test pictures are under the suite's `condition`, all others are clean.
        """

    @abstractmethod
    def images(self, pixels):
        """Pictures (uint8 N x height x width x 3) as the tower takes them, floats where its tensors lie."""

    def network(self):
        """A tower of the suite's own, for weights and gradients, where the suite's tensors lie."""
        return build_tower(self.model).eval().to(self.device)

    @property
    def tensors(self):
        state = self.base or empty_tower(self.model, torch.device("cpu")).state_dict()
        return {name: tensor.dim() for name, tensor in state.items()}

    def inputs(self, task, split):
        return self.pictures(task, split)[0]

    def measured(self, model, task, split):
        pixels, labels = self.pictures(task, split)
        scores = self.logits(model, task, pixels)
        return score(scores, labels), scores.argmax(dim=1).numpy() == labels

    @torch.inference_mode()
    def logits(self, model, task, pixels):
        """Logits (N x classes) of one task's pictures (uint8 N x height x width x 3).

        `model`: a state dict of the suite's image tower; or, when the task's name is known at inference, a mapping from task to
        state dict; or an object whose `features(suite, task, images)` gives unit-length features (N x embedding).
        """
        if hasattr(model, "features"):
            features = [model.features(self, task, self.images(batch)) for batch in _batches(pixels)]
            return torch.cat([(z @ self.heads[task]).cpu() for z in features])
        return (normalize(self.features(model.get(task, model), pixels), dim=1) @ self.heads[task]).cpu()

    @torch.inference_mode()
    def features(self, state, pixels):
        """Features (N x embedding, not scaled) of pictures (uint8), or of images (floats), under a state dict."""
        tower = empty_tower(self.model, self.device)
        tower.load_state_dict(state)
        with torch.autocast(self.device.type, torch.float16, enabled=self.half and self.device.type == "cuda"):
            if isinstance(pixels, torch.Tensor):
                return tower(pixels).float()
            return torch.cat([tower(self.images(batch)).float() for batch in _batches(pixels)])

    def entropy(self, fixed, answer, drawn, weights):
        tower = partial(functional_call, empty_tower(self.model, self.device), {**fixed, **weights})
        features = image_features(tower, self.images(np.concatenate(list(drawn.values()))))       # all tasks' together
        parts = features.split([len(pixels) for pixels in drawn.values()])
        return sum(mean_entropy(part @ self.heads[task]) for task, part in zip(drawn, parts))


def _batches(pixels):
    """Pictures in parts of about `BATCH`."""
    return np.array_split(pixels, max(1, round(len(pixels) / BATCH)))
