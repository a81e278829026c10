"""Which networks are there, and how do pictures and class names become features?

Both scales use open_clip: the embedded towers are its `CLIP` class with small configurations of ours, the papers' are its
image towers for OpenAI's weights. open_clip is imported where it is needed, because that takes seconds.
"""

from functools import cache, lru_cache

import numpy as np
import torch
from torch.nn.functional import normalize

CONTEXT = 20        # tokens of a caption
TOWERS = {          # image towers of the embedded benchmark; the text tower is the same for all
    "main": dict(width=224, layers=6, patch_size=8),        # stands for B/32
    "next": dict(width=224, layers=6, patch_size=8),        # the same, in CLIP's regime
    "fine": dict(width=224, layers=6, patch_size=4),        # for B/16: four times the patches
    "large": dict(width=256, layers=8, patch_size=8),       # for L/14: wider and deeper
}
PAPER_TOWERS = ("ViT-B-32", "ViT-B-16", "ViT-L-14")     # image towers of the papers, OpenAI's
TEXT = dict(context_length=CONTEXT, vocab_size=49408, width=64, heads=2, layers=2)


def build_clip(tower, seed=0):
    """A freshly initialised open_clip `CLIP` of one of our `TOWERS`, the same for the same seed.

    Raises ValueError for an unknown tower.
    """
    from open_clip.model import CLIP
    if tower not in TOWERS:
        raise ValueError(f"There is no tower {tower!r}. Known towers: {', '.join(TOWERS)}.")
    vision = dict(image_size=32, head_width=32, mlp_ratio=4.0, **TOWERS[tower])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIP(embed_dim=128, vision_cfg=vision, text_cfg=TEXT)


def build_tower(tower):
    """The image tower of a model of either scale, with weights to be overwritten; ValueError for an unknown one."""
    return build_paper_tower(tower) if tower in PAPER_TOWERS else build_clip(tower).visual


def build_paper_clip(tower):
    """OpenAI's CLIP of one size, with QuickGELU and random weights, to be overwritten; ValueError for an unknown tower."""
    from open_clip.model import CLIP
    return CLIP(**_paper_config(tower))


def _paper_config(tower):
    """open_clip's configuration of one of `PAPER_TOWERS`."""
    from open_clip import get_model_config
    if tower not in PAPER_TOWERS:
        raise ValueError(f"There is no paper tower {tower!r}. Known towers: {', '.join(PAPER_TOWERS)}.")
    return get_model_config(f"{tower}-quickgelu")


def build_paper_tower(tower):
    """The image tower of OpenAI's CLIP of one size, with QuickGELU, no text tower and random weights, to be overwritten.

    Raises ValueError for an unknown tower.
    """
    from open_clip.model import _build_vision_tower  # `create_model` would build the text tower too
    config = _paper_config(tower)
    visual = _build_vision_tower(config["embed_dim"], config["vision_cfg"], quick_gelu=config["quick_gelu"])
    check_quick_gelu(visual)
    return visual


def check_quick_gelu(visual):
    """Raise ValueError unless every block of an open_clip image tower has the activation that OpenAI's weights need."""
    found = {type(block.mlp.gelu).__name__ for block in visual.transformer.resblocks}
    if found != {"QuickGELU"}:
        raise ValueError(f"This image tower computes {', '.join(sorted(found))}, but OpenAI's weights and experts made from "
                         f"them need QuickGELU; without it they lose accuracy silently. Use build_paper_tower, or a name that "
                         f"ends in -quickgelu.")


@cache
def tokenizer(context=CONTEXT):
    """open_clip's own tokenizer, cut to a context length."""
    from open_clip.tokenizer import SimpleTokenizer
    return SimpleTokenizer(context_length=context)


def build_head(clip, classes, prompts):
    """The frozen zero-shot head of one task, by open_clip's builder: float (embedding x classes), times the logit scale."""
    from open_clip import build_zero_shot_classifier
    clip.eval()
    weights = build_zero_shot_classifier(clip, tokenizer(clip.context_length), list(classes),
                                         [prompt.format for prompt in prompts], device=clip.logit_scale.device)
    return (weights * clip.logit_scale.exp()).detach()


def normalise_pixels(pixels, device="cpu"):
    """Embedded pictures (uint8 N x height x width x 3) as floats (N x 3 x height x width) of about unit scale."""
    return torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).mul_(2)


def openai_pixels(pixels, device="cpu"):
    """Pictures (uint8 N x height x width x 3) as OpenAI's towers take them: floats (N x 3 x height x width)."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    images = torch.as_tensor(np.array(pixels), device=device).permute(0, 3, 1, 2)      # a copy: the cache is read-only
    return images.float().div_(255).sub_(mean).div_(std)


def image_features(visual, images):
    """Unit-length features (N x embedding) of normalised images."""
    return normalize(visual(images), dim=-1)


def mean_entropy(scores):
    """Entropy of the predictions behind logits (N x classes), averaged over the N pictures, in nats."""
    log_p = scores.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


@lru_cache(maxsize=2)
def empty_tower(tower, device):
    """One image tower per process to put state dicts into (weights are overwritten by whoever uses it)."""
    return build_tower(tower).eval().requires_grad_(False).to(device)
