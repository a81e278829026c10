"""How were the language models trained? A T5 on a mixture of instructions, and a LoRA adapter of it for each task.

Rank and alpha are those of the papers' adapters (DOGE App. A), on matrices a sixth as wide as Flan-T5-base's.
"""

import json
import random
import time
from dataclasses import asdict, replace
from zlib import crc32

import torch

from ..networks import DEVICE
from ..networks.t5 import PAD, answer_logits, answer_loss, encode, questions
from ..networks.training import Recipe, fit
from ..paths import write_atomically
from ..suites.store import read_file, read_manifest, write_file, write_manifest
from ..suites.text import OurT5
from ..tasks.language import TEXT_EIGHT, load_examples
from ..tasks.language.mixture import draw_pair
from .make import base_is_there, spent, train_experts

PRETRAIN_TEXT = Recipe(steps=14000, batch=64, lr=2e-3, weight_decay=0.01)
SLOWER = {"text-large": 1.2e-3}         # rate for a model that learns less at that of the others
FINETUNE_TEXT = Recipe(steps=600, batch=32, lr=6e-4, weight_decay=0.0)
LORA = {"r": 16, "lora_alpha": 32, "target_modules": ["q", "v"], "task_type": "SEQ_2_SEQ_LM"}
TOGETHER = 16 if DEVICE == "cpu" else 64        # pairs of a pre-training batch that are padded to one length
QUERIES, EMBEDDINGS = 1 / 6, 3.0        # rates of what one rate does not fit: T5's attention is not scaled, its words are large


def plan_language(also=()):
    """The adapters to train, name -> (tasks, recipe); `also` ("seeds",): two more seeds of each."""
    seeds = (0, 1, 2) if "seeds" in also else (0,)
    return {f"{task}-s{seed}": ((task,), replace(FINETUNE_TEXT, seed=seed)) for seed in seeds for task in TEXT_EIGHT}


def pretrain_text_recipe(model):
    """How a language model is pre-trained."""
    return replace(PRETRAIN_TEXT, lr=SLOWER.get(model, PRETRAIN_TEXT.lr))


def make_language(model, folder, work, also=()):
    """Train and store a language model of `suites.text.TEXT_MODELS` and its adapters, as far as they are not there already."""
    recipe = pretrain_text_recipe(model)
    if not base_is_there(folder, work, {"recipe": asdict(recipe)}):
        start = time.monotonic()
        network = pretrain_text(model, recipe, work)
        base = {name: weight.detach().half() for name, weight in network.named_parameters()}
        write_manifest(folder, {"tower": model, "experts": {},
                                "base": write_file(folder, "base", base, recipe=asdict(recipe), **spent(start))})
    for task in TEXT_EIGHT:
        load_examples(task, "train")        # drawn once, before the workers need them
    train_experts(model, plan_language(also), folder, work, train_adapter)


def pretrain_text(model, recipe, folder):
    """Pre-training on `benchmark.language.mixture`; returns the trained T5."""
    source = OurT5(model)
    network = source.network(recipe.seed).train().to(DEVICE)

    def loss_of(step, rng):
        rng = random.Random(int(rng.integers(2**62)))
        pairs = [draw_pair(rng, step / recipe.steps) for _ in range(recipe.batch)]
        pairs.sort(key=lambda pair: len(pair[0].split()))
        parts = [zip(*pairs[i:i + TOGETHER]) for i in range(0, len(pairs), TOGETHER)]       # alike in length: a third faster
        return sum(text_loss(network, encode(source, asked), encode(source, wanted)) for asked, wanted in parts) / len(parts)

    fit(network, loss_of, recipe, folder / "base.pt", f"pre-training {model}", factor=rate_factor)
    return network.cpu().eval()


def rate_factor(name):
    """By what the rate of one of a T5's weights is multiplied in pre-training."""
    return QUERIES if name.endswith("Attention.q.weight") else EMBEDDINGS if name == "shared.weight" else 1.0


def text_loss(network, asked, wanted):
    """Cross-entropy of answers to questions (token ids N x length each)."""
    device = next(network.parameters()).device
    wanted = torch.as_tensor(wanted, device=device)
    wanted = wanted[:, : int((wanted != PAD).sum(dim=1).max())]
    return answer_loss(answer_logits(network, questions(asked, device), wanted), wanted)


def train_adapter(model, folder, work, job):
    """Fine-tune and store one adapter as a PEFT folder; gives its entry of the manifest."""
    (name, (task,), recipe), start = job, time.monotonic()
    network = OurT5(model).network()
    network.load_state_dict({key: tensor.float() for key, tensor in read_file(folder, read_manifest(folder)["base"]).items()},
                            strict=False)       # what is tied has one name in the file
    weights, config = finetune_adapter(network.to(DEVICE), OurT5(model), task, recipe, work / f"{name}.pt")
    write_atomically(folder / name / "adapter_config.json", lambda part: part.write_text(config))
    return write_file(folder, f"{name}/adapter_model", weights, recipe=asdict(recipe), lora=LORA, **spent(start))


def finetune_adapter(network, source, task, recipe, checkpoint):
    """Train a LoRA adapter of a T5 on one task: (its tensors as PEFT names them, its adapter_config.json)."""
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    config = LoraConfig(**LORA)
    with torch.random.fork_rng():
        torch.manual_seed(crc32(f"{task} {recipe.seed}".encode()))      # A starts at random, for each task anew, B at zero
        adapted = get_peft_model(network, config)
    asked, wanted = (encode(source, texts) for texts in load_examples(task, "train"))

    def loss_of(step, rng):
        rows = rng.integers(len(asked), size=recipe.batch)
        return text_loss(adapted, asked[rows], wanted[rows])

    fit(adapted, loss_of, recipe, checkpoint, f"fine-tuning {checkpoint.stem}")
    weights = {key: tensor.detach().cpu() for key, tensor in get_peft_model_state_dict(adapted).items()}
    return weights, json.dumps(adapted.peft_config["default"].to_dict(), indent=1, sort_keys=True, default=sorted) + "\n"
