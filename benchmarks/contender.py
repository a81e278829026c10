"""One merge in this process, by one package: `python contender.py '{"package": ..., ...}'`; `merging.py` starts it.

Prints the seconds from the first read to the last byte written, imports and the start of workers left out.
"""

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def workers(count):
    """An executor of some processes that have started, or None for one, in which torch has its own threads."""
    from mergelib.workers import one_thread, processes
    if count == 1:
        yield None
        return
    with one_thread(), processes(count) as pool:
        list(pool.map(time.sleep, [1] * count))
        yield pool


def nothing(job):
    """What the interpreters hold before they merge: torch is imported, the workers have started."""
    with workers(job["workers"]):
        time.sleep(1)
    return 0.0


def mergelib(job):
    """`mergelib.merge` from disk to disk."""
    import mergelib as ml
    with workers(job["workers"]) as pool:
        start = time.perf_counter()
        ml.merge(job["method"], job["base"], job["experts"], job["preset"], out=job["out"], executor=pool, shard_size=5e8,
                 **job["options"])
        return time.perf_counter() - start


def mergelib_gpu(job):
    """`mergelib.merge` on a GPU: from disk to its memory, merged there, and to disk again."""
    import mergelib as ml
    from mergelib.checkpoints.states import read_state, write_state
    tiny = {"w": torch.randn(64, 64, device="cuda")}
    ml.merge("doge-ta", tiny, {"a": {"w": tiny["w"] + 1}, "b": {"w": tiny["w"] - 1}}, preset="exact", keys="")  # libraries load
    start = time.perf_counter()
    base, *experts = ({name: tensor.cuda() for name, tensor in read_state(Path(path) / "model.safetensors").items()}
                      for path in (job["base"], *job["experts"]))
    merged = ml.merge(job["method"], base, dict(zip(job["experts"], experts)), preset=job["preset"], **job["options"])
    torch.cuda.synchronize()
    between = time.perf_counter()
    Path(job["out"]).mkdir()
    write_state(Path(job["out"]) / "model.safetensors", {name: tensor.cpu() for name, tensor in merged.items()})
    print(f"to merge {between - start:.2f} s, to write {time.perf_counter() - between:.2f} s; "
          f"most memory of the GPU {torch.cuda.max_memory_allocated() / 1e6:.0f} MB")
    return time.perf_counter() - start


def mergekit(job):
    """`mergekit.merge.run_merge`, what the command mergekit-yaml calls."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    config = MergeConfiguration.model_validate({
        "merge_method": job["method"], "base_model": job["base"], "dtype": "bfloat16", "parameters": job["options"],
        "models": [{"model": path} for path in job["experts"]]})
    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True, out_shard_size=500_000_000, random_seed=0)
    start = time.perf_counter()
    run_merge(config, job["out"], options)
    return time.perf_counter() - start


def fusion_bench(job):
    """fusion-bench's DOGE TA on the modules that it asks for; it reads no checkpoints of itself, so they are in memory."""
    import lightning
    from fusion_bench import BaseModelPool
    from fusion_bench.method.doge_ta.doge_ta import DOGE_TA_Algorithm
    from fusion_bench.models.parameter_dict import ParameterDictModel
    from safetensors.torch import load_file, save_file

    def module(path):
        state = load_file(Path(path) / "model.safetensors")
        return ParameterDictModel({name: torch.nn.Parameter(tensor) for name, tensor in state.items()})
    start = time.perf_counter()
    algorithm = DOGE_TA_Algorithm(**job["options"])
    algorithm._fabric_instance = lightning.Fabric(accelerator="cpu", devices=1)
    merged = algorithm.run(BaseModelPool({"_pretrained_": module(job["base"]),
                                          **{path: module(path) for path in job["experts"]}}))
    Path(job["out"]).mkdir()
    save_file({name: tensor.detach().contiguous() for name, tensor in merged.state_dict().items()},
              Path(job["out"]) / "model.safetensors")
    return time.perf_counter() - start


def floor(job):
    """Read every input once and write what the base holds."""
    buffer = bytearray(1 << 26)
    files = [file for path in (job["base"], *job["experts"]) for file in Path(path).glob("*.safetensors")]
    start = time.perf_counter()
    Path(job["out"]).mkdir()
    with open(Path(job["out"]) / "model.safetensors", "wb") as out:
        for file in files:
            with open(file, "rb", buffering=0) as handle:
                while count := handle.readinto(buffer):
                    if file.parent == Path(job["base"]):
                        out.write(memoryview(buffer)[:count])
        out.flush()
        os.fsync(out.fileno())
    return time.perf_counter() - start


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps({"seconds": globals()[asked["package"]](asked)}))
