"""How were the base and the experts trained? Contrastive pre-training, and fine-tuning with a frozen head."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.nn import Embedding
from torch.nn.functional import cross_entropy, log_softmax, normalize, pad

from ..networks import DEVICE
from ..networks.clip import build_clip, image_features, normalise_pixels
from ..networks.training import Recipe, fast_products, fit
from ..tasks import load_pictures
from .corpus import SEEN, Corpus, Pictures, captions, draw_batch, own_words, spoken

PRETRAIN = Corpus(steps=24000, batch=128, lr=1e-3, weight_decay=0.05, field=0.6, named=1.0)
NAMING = Corpus(steps=600, batch=128, lr=3e-4, weight_decay=0.05, field=0.6, named=0.1)
CLIP_ART = Corpus(steps=2000, batch=256, lr=1e-3, weight_decay=0.05, named=1.0)
BASES = {       # tower -> how its base is pre-trained, in one part or two
    "main": (CLIP_ART,), "fine": (replace(CLIP_ART, steps=8000),), "large": (CLIP_ART,), "next": (PRETRAIN, NAMING)}
FINETUNE = Recipe(steps=900, batch=64, lr=2e-4, weight_decay=0.05)
EXPERTS = {"next": Recipe(steps=200, batch=64, lr=1e-4, weight_decay=0.05)}       # of all others: FINETUNE


def expert_recipe(tower, seed=0, together=False):
    """How an expert of a tower is fine-tuned; `together`: a model of several tasks, which sees as many pictures of each."""
    recipe = replace(EXPERTS.get(tower, FINETUNE), seed=seed)
    return replace(recipe, steps=2 * recipe.steps, batch=recipe.batch // 2) if together else recipe


def pretrain(tower, recipes, folder):
    """Contrastive pre-training on what `corpus` draws, by one recipe after the other; returns the trained CLIP.

    Between two recipes the base forgets the words of which class names consist.
    """
    web, seen = map(Pictures, SEEN)
    texts, words = spoken(captions())
    clip = build_clip(tower, recipes[0].seed).train()
    vocabulary = clip.token_embedding
    clip.token_embedding = Embedding.from_pretrained(vocabulary.weight.detach()[words], freeze=False)      # of what is said
    clip.to(DEVICE)

    def loss_of(recipe, step, rng):
        pixels, tokens, labels = draw_batch(recipe, web, seen, texts, rng)
        images = augment(normalise_pixels(pixels, DEVICE), rng, colour=0.5)
        with fast_products():
            return contrastive_loss(clip, images, tokens.to(DEVICE), labels.to(DEVICE))

    for part, recipe in enumerate(recipes):
        if part:
            forget(clip.token_embedding.weight, torch.isin(words, own_words()))
        fit(clip, partial(loss_of, recipe), recipe, folder / f"base-{part}.pt", f"pre-training {tower}, part {part + 1}")
    vocabulary.weight.data[words] = clip.cpu().token_embedding.weight.data
    clip.token_embedding = vocabulary
    return clip.eval()


@torch.no_grad()
def forget(embeddings, which):
    """Draw the embeddings of some words (a mask) anew, as they are when training begins."""
    fresh = 0.02 * torch.randn(embeddings[which].shape, generator=torch.Generator().manual_seed(0))
    embeddings[which] = fresh.to(embeddings.device)


def contrastive_loss(clip, images, texts, labels):
    """Symmetric contrastive loss in which all pairs of the same class count as matches (soft targets)."""
    image, text = image_features(clip.visual, images), normalize(clip.encode_text(texts), dim=-1)
    logits = clip.logit_scale.exp() * image @ text.T
    target = (labels[:, None] == labels[None, :]).float()
    target = target / target.sum(dim=1, keepdim=True)
    return -0.5 * sum((target * log_softmax(x, dim=1)).sum(dim=1).mean() for x in (logits, logits.T))


def augment(images, rng, colour=0.0, shift=2):
    """Shift each picture by up to `shift` pixels; with `colour`, also scale and offset its channels at random."""
    size, device = images.shape[-1], images.device
    padded = pad(images, (shift,) * 4, mode="replicate")
    dx, dy = torch.as_tensor(rng.integers(2 * shift + 1, size=(2, len(images))), device=device)
    span = torch.arange(size, device=device)
    rows, columns = (dy[:, None] + span)[:, None, :, None], (dx[:, None] + span)[:, None, None, :]
    batch = torch.arange(len(images), device=device)[:, None, None, None]
    channel = torch.arange(3, device=device)[None, :, None, None]
    images = padded[batch, channel, rows, columns]
    if not colour:
        return images
    noise = torch.as_tensor(rng.uniform(-colour, colour, size=(2, len(images), 3, 1, 1)), dtype=images.dtype, device=device)
    return images * (1 + noise[0]) + noise[1]


def finetune(visual, heads, tasks, recipe, checkpoint, surgery=False):
    """Fine-tune an image tower on tasks with their frozen heads: one for an expert, several for a multi-task model.

    It is trained where it lies and comes back on the CPU. A step takes `recipe.batch` pictures of each task; the loss is the
    mean of the tasks' cross-entropies, with `surgery` the one of `without_conflicts`.
    """
    pools, device = {task: load_pictures(task, "train") for task in tasks}, next(visual.parameters()).device
    heads = {task: heads[task].to(device) for task in tasks}
    visual.train()

    def loss_of(step, rng):
        drawn = {task: rng.integers(len(pixels), size=recipe.batch) for task, (pixels, _) in pools.items()}
        pixels = np.concatenate([pools[task][0][rows] for task, rows in drawn.items()])
        images = augment(normalise_pixels(pixels, device), rng)
        parts = images.split(recipe.batch) if surgery else [images]      # a graph of its own for each task's gradient
        features = [part for images in parts for part in image_features(visual, images).split(recipe.batch)]
        labels = [torch.as_tensor(pools[task][1][rows], device=device) for task, rows in drawn.items()]
        losses = [cross_entropy(f @ heads[task], y) for task, f, y in zip(tasks, features, labels)]
        return without_conflicts(losses, list(visual.parameters()), rng) if surgery else sum(losses) / len(tasks)

    fit(visual, loss_of, recipe, checkpoint, f"fine-tuning {checkpoint.stem}")
    return visual.cpu().eval()


def without_conflicts(losses, weights, rng):
    """The mean of some losses, with PCGrad's gradient in its place (Yu et al. 2020, Alg. 1).

    Every task's gradient loses, for each other task in random order, its component against that one's gradient; the mean of
    what is left is what `backward` gives to the `weights`.
    """
    gradients = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True)]) for loss in losses]
    total = torch.zeros_like(gradients[0])
    for own in gradients:
        left = own.clone()
        for j in rng.permutation(len(gradients)):
            left -= (left @ gradients[j]).clamp_max(0) / gradients[j].square().sum() * gradients[j]
        total += left / len(gradients)
    linear = sum((w * g.reshape(w.shape)).sum() for w, g in zip(weights, total.split([w.numel() for w in weights])))
    return linear + (sum(losses) / len(losses) - linear).detach()
