"""Which checkpoints are merged by `merging.py`? Random numbers in the true shapes of published models, made when asked for."""

import hashlib
import json
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from tqdm.auto import tqdm

SIZE = 3e-4      # root mean square of a task vector's entries, as the published vision experts have it (method card 16.1)


def vision(width, layers, heads, patch):
    """Hugging Face's CLIP image tower, empty: the layout in which the published experts come."""
    from transformers import CLIPVisionConfig, CLIPVisionModel
    return CLIPVisionModel(CLIPVisionConfig(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                                            num_attention_heads=heads, patch_size=patch, image_size=224))


def language():
    """A Llama of 1.1 billion parameters, empty."""
    from transformers import LlamaConfig, LlamaForCausalLM
    return LlamaForCausalLM(LlamaConfig(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
                                        num_key_value_heads=8, vocab_size=32000))


MODELS = {       # name -> (how it is built, dtype)
    "one layer": (lambda: vision(768, 1, 12, 32), torch.float32),
    "ViT-B/32": (lambda: vision(768, 12, 12, 32), torch.float32),
    "ViT-L/14": (lambda: vision(1024, 24, 16, 14), torch.float32),
    "Llama 1.1B": (language, torch.bfloat16),
}


def checkpoints(model, tasks, folder):
    """(base, experts): paths of a model of `MODELS` and of its fine-tuned siblings below a folder, written unless there."""
    build, dtype = MODELS[model]
    with torch.device("meta"):
        empty = build()
    folder = Path(folder) / model.replace("/", "-").replace(" ", "-")
    paths = [folder / name for name in ("base", *(f"expert-{i:02}" for i in range(1, tasks + 1)))]
    for i, path in enumerate(tqdm(paths, f"random {model}", delay=2)):
        if not (path / "config.json").exists():      # written last
            state = {name: _numbers(name, tensor.shape, i).to(dtype) for name, tensor in empty.state_dict().items()
                     if tensor.is_floating_point()}
            path.mkdir(parents=True, exist_ok=True)
            save_torch_state_dict(state, path, max_shard_size="500MB" if dtype == torch.bfloat16 else "5GB")
            config = empty.config.to_dict() | {"architectures": [type(empty).__name__], "torch_dtype": str(dtype).split(".")[1]}
            (path / "config.json").write_text(json.dumps(config, default=str))
    return paths[0], paths[1:]


def _numbers(name, shape, i):
    """A tensor of the base (i = 0) or of its i-th expert, the same for the same name.

    A task vector is noise, a part of lower rank of its own, and a part that all tasks share, so that there is something to
    find for a shared subspace and something to do for a solver.
    """
    def draw(which, *shape):
        seed = int.from_bytes(hashlib.sha256(f"{name} {which}".encode()).digest()[:7])
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    base = 0.02 * draw("base", *shape)
    if i == 0:
        return base
    tau = 0.6 * draw(i, *shape) + 0.35 * draw("shared", *shape)
    if len(shape) == 2 and min(shape) > 64:
        tau += 0.7 * draw(f"{i} left", shape[0], 64) @ draw(f"{i} right", 64, shape[1]) / 8
    return base + SIZE * tau
