"""How were the base and the experts trained? Two losses and one loop that can be killed and resumed at any step."""

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy, log_softmax, normalize, pad
from tqdm.auto import tqdm

from ..benchmark import TASKS, load_pictures, load_task
from ..models import build_clip, image_features, normalise_pixels, tokenizer
from ..paths import write_atomically


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run; all of them are in the zoo's manifest."""

    steps: int
    batch: int
    lr: float                   # peak rate of AdamW
    weight_decay: float
    seed: int = 0


PRETRAIN = Recipe(steps=2000, batch=256, lr=1e-3, weight_decay=0.05)
FINETUNE = Recipe(steps=900, batch=64, lr=2e-4, weight_decay=0.05)


def fit(module, loss_of, recipe, checkpoint, title):
    """Train `module` in place: AdamW under a warm-up and cosine schedule; resumes from `checkpoint` (a path).

    `loss_of(step, rng)` gives the loss of one step; `rng` depends on (seed, step) alone, so that a resumed run sees the
    batches it would have seen. The checkpoint is written about every 20 seconds, whole or not at all.
    """
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    start = _resume(module, optimiser, recipe, checkpoint)
    saved = time.monotonic()
    for step in (bar := tqdm(range(start, recipe.steps), title, initial=start, total=recipe.steps, mininterval=2)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.lr * _schedule(step / recipe.steps)
        loss = loss_of(step, np.random.default_rng([recipe.seed, step]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if time.monotonic() - saved > 20 or step + 1 == recipe.steps:
            bar.set_postfix(loss=f"{loss.item():.3f}")
            state = {"step": step + 1, "recipe": asdict(recipe), "module": module.state_dict(),
                     "optimiser": optimiser.state_dict()}
            write_atomically(checkpoint, lambda part, state=state: torch.save(state, part))
            saved = time.monotonic()


def _resume(module, optimiser, recipe, checkpoint):
    """Load a checkpoint of this recipe if there is one; the step to go on from."""
    state = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else {}
    if state.get("recipe") != asdict(recipe):
        return 0
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]


def _schedule(progress):
    """Linear warm-up over the first tenth, then half a cosine down to zero."""
    return progress / 0.1 if progress < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (progress - 0.1) / 0.9)


def pretrain(tower, recipe, folder):
    """Contrastive pre-training on the web pictures of all twenty tasks; returns the trained CLIP."""
    pictures, classes, captions = _web_corpus()
    clip = build_clip(tower, recipe.seed).train()

    def loss_of(step, rng):
        rows = rng.integers(len(pictures), size=recipe.batch)
        labels = torch.as_tensor(classes[rows])
        texts = torch.stack([captions[label][rng.integers(len(captions[label]))] for label in labels.tolist()])
        images = augment(normalise_pixels(pictures[rows]), rng, colour=0.5)
        return contrastive_loss(clip, images, texts, labels)

    fit(clip, loss_of, recipe, folder / "base.pt", f"pre-training {tower}")
    return clip.eval()


def _web_corpus():
    """Pictures, their class ids over all tasks, and per class id the tokens of all its captions."""
    pictures, classes, captions = [], [], []
    for name in tqdm(TASKS, "reading or drawing web pictures", leave=False):
        task, (pixels, labels) = load_task(name), load_pictures(name, "web")
        pictures.append(pixels)
        classes.append(labels + len(captions))
        captions += _captions(task)
    return np.concatenate(pictures), np.concatenate(classes), captions


def _captions(task):
    """Per class of a task, the tokens of all its captions: templates x context."""
    return [tokenizer()([t.format(c) for t in task.prompts + task.captions]) for c in task.classes]


def caption_tokens():
    """The ids of all tokens that occur in pre-training, in order."""
    return torch.cat([tokens for name in TASKS for tokens in _captions(load_task(name))]).unique()


def contrastive_loss(clip, images, texts, labels):
    """Symmetric contrastive loss in which all pairs of the same class count as matches (soft targets)."""
    image, text = image_features(clip.visual, images), normalize(clip.encode_text(texts), dim=-1)
    logits = clip.logit_scale.exp() * image @ text.T
    target = (labels[:, None] == labels[None, :]).float()
    target = target / target.sum(dim=1, keepdim=True)
    return -0.5 * sum((target * log_softmax(x, dim=1)).sum(dim=1).mean() for x in (logits, logits.T))


def augment(images, rng, colour=0.0, shift=2):
    """Shift each picture by up to `shift` pixels; with `colour`, also scale and offset its channels at random."""
    size = images.shape[-1]
    padded = pad(images, (shift,) * 4, mode="replicate")
    dx, dy = torch.as_tensor(rng.integers(2 * shift + 1, size=(2, len(images))))
    span = torch.arange(size)
    rows, columns = (dy[:, None] + span)[:, None, :, None], (dx[:, None] + span)[:, None, None, :]
    batch, channel = torch.arange(len(images))[:, None, None, None], torch.arange(3)[None, :, None, None]
    images = padded[batch, channel, rows, columns]
    if not colour:
        return images
    noise = torch.as_tensor(rng.uniform(-colour, colour, size=(2, len(images), 3, 1, 1)), dtype=images.dtype)
    return images * (1 + noise[0]) + noise[1]


def finetune(clip, head, name, recipe, folder):
    """Fine-tune the image tower on one task with its frozen head; returns the trained tower."""
    pixels, labels = load_pictures(name, "train")
    labels = torch.as_tensor(labels)
    visual = clip.visual.train()

    def loss_of(step, rng):
        rows = rng.integers(len(pixels), size=recipe.batch)
        features = image_features(visual, augment(normalise_pixels(pixels[rows]), rng))
        return cross_entropy(features @ head, labels[rows])

    fit(visual, loss_of, recipe, folder / f"{name}-s{recipe.seed}.pt", f"fine-tuning {name}")
    return visual.eval()
