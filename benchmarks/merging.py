"""How long does merging take and how much memory, beside released packages and beside reading and writing alone?

    .venv/bin/python benchmarks/merging.py --peers build/peers/bin/python

merges random checkpoints of true shapes (`checkpoints.py`, 25 GB in build/benchmarks), each merge in a process of its own,
and writes benchmarks/merging.csv: seconds from the first read to the last byte written (smallest and median), and the most
memory in MB, its own and with pages of files. What was measured on this machine is not measured again (unless `--again`
says so), so it can be interrupted. `--peers`: the Python of an environment with fusion-bench and mergekit, made as
tests/peers/README.md says; without it their rows stay as they are. `--only` takes a part of a row's name. Let nothing else
run meanwhile.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import psutil
import torch
from checkpoints import checkpoints

HERE = Path(__file__).parent
WORK = HERE.parent / "build" / "benchmarks"
TABLE = HERE / "merging.csv"
LAYERS = r"layers\..*(self_attn|mlp)\..*weight"        # Llama's matrices within its layers
DOGE = {"package": "mergelib", "method": "doge-ta"}
PEER_DOGE = {"package": "fusion_bench", "method": "doge-ta", "preset": "code",
             "options": {"subspace": 6, "K": 30, "lamda": 0.07}}


def rows():
    """What is measured, in order: dicts of model, tasks, package, method, preset, options, workers, runs."""
    for model, tasks in (("one layer", 8), ("ViT-B/32", 8), ("ViT-L/14", 8), ("Llama 1.1B", 3)):
        yield {"model": model, "tasks": tasks, "package": "floor", "runs": 3}
    for workers in (1, 2):
        yield {"package": "nothing", "workers": workers}
        for preset in ("exact", "code", "paper"):
            yield DOGE | {"preset": preset, "workers": workers}
    yield PEER_DOGE
    for model in ("ViT-B/32", "ViT-L/14"):
        yield DOGE | {"model": model, "preset": "exact", "workers": 2}
    yield DOGE | {"model": "ViT-B/32", "preset": "exact"}
    for tasks in (2, 4, 16, 20):
        for preset in ("exact", "code"):
            yield DOGE | {"tasks": tasks, "preset": preset, "workers": 2}
    language = {"model": "Llama 1.1B", "tasks": 3}
    for name, options, peer, theirs in (
            ("task-arithmetic", {}, "task_arithmetic", {"weight": 0.3}),
            ("ties", {}, "ties", {"weight": 0.3, "density": 0.2}),
            ("dare", {"drop": 0.9}, "dare_linear", {"weight": 0.3, "density": 0.1})):
        for workers in (1, 2):
            yield language | {"package": "mergelib", "method": name, "options": options, "workers": workers}
        yield language | {"package": "mergekit", "method": peer, "options": theirs}
    yield DOGE | {"model": "Llama 1.1B", "tasks": 3, "preset": "exact", "options": {"keys": LAYERS}, "workers": 2}
    for model in ("ViT-B/32", "ViT-L/14"):
        yield DOGE | {"model": model, "preset": "code", "workers": 2}
    for model in ("ViT-B/32", "ViT-L/14") if torch.cuda.is_available() else ():
        for preset in ("exact", "code"):
            yield DOGE | {"package": "mergelib_gpu", "model": model, "preset": preset, "runs": 3}


DEFAULTS = {"model": "one layer", "tasks": 8, "method": "", "preset": None, "options": {}, "workers": 1, "runs": 1}


def main():
    """Measure every row that is not in the table yet, then print it all."""
    asked = parse()
    found = pd.read_csv(TABLE, keep_default_na=False).to_dict("records") if TABLE.exists() else []
    here = {"machine": machine(), "torch": torch.__version__}
    known = {row["name"] for row in found if row["machine"] == here["machine"] and not asked.again}
    for row in map(DEFAULTS.__or__, rows()):
        row["name"] = " ".join(str(row[key]) for key in ("model", "tasks", "package", "method", "preset", "workers"))
        if row["name"] in known or asked.only not in row["name"] or not python_of(row["package"], asked.peers):
            continue
        result = measure(row, python_of(row["package"], asked.peers))
        print(f"{row['name']}: {result}", flush=True)
        found = [other for other in found if other["name"] != row["name"]]
        found.append({key: row[key] for key in ("name", "model", "tasks", "package", "method", "preset", "workers", "runs")}
                     | result | {"date": str(datetime.date.today())} | here)
        pd.DataFrame(found).to_csv(f"{TABLE}.part", index=False)
        os.replace(f"{TABLE}.part", TABLE)


def measure(row, python):
    """Seconds (smallest and median of its runs) and the most memory of one row."""
    base, experts = checkpoints(row["model"], row["tasks"], WORK)
    out = WORK / "out"
    job = row | {"base": str(base), "experts": [str(path) for path in experts], "out": str(out)}
    results = []
    for _ in range(row["runs"]):
        shutil.rmtree(out, ignore_errors=True)
        results.append(run([python, HERE / "contender.py", json.dumps(job)]))
    shutil.rmtree(out, ignore_errors=True)
    seconds, own, resident = zip(*results)
    size = [sum(file.stat().st_size for file in path.glob("*.safetensors")) for path in (base, *experts)]
    return {"seconds": round(min(seconds), 2), "median": round(statistics.median(seconds), 2),
            "memory": round(max(own) / 1e6), "resident": round(max(resident) / 1e6),
            "read": round(sum(size) / 1e6), "written": round(size[0] / 1e6)}


def run(command):
    """Run one contender: (seconds, most bytes of its own, most bytes resident), the latter two summed over its processes.

    Bytes of its own: anonymous memory, that is without pages of files, which the system can take back at any time.
    """
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"TQDM_DISABLE": "1"})
    peak, done = [0, 0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[:] = map(max, peak, held(process.pid))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        printed, _ = process.communicate()
    finally:
        done.set()
        watcher.join()
    if process.returncode:
        sys.exit(f"{command[1]} ended with {process.returncode}; what it said stands above.")
    return json.loads(printed.splitlines()[-1])["seconds"], *peak


def held(pid):
    """(anonymous, resident) bytes of a process and its children."""
    anonymous = resident = 0
    try:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            facts = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            anonymous += int(facts.get("RssAnon", "0 kB").split()[0]) * 1024
            resident += int(facts.get("VmRSS", "0 kB").split()[0]) * 1024
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        pass
    return anonymous, resident


def python_of(package, peers):
    """The Python that has a package."""
    return peers if package in ("mergekit", "fusion_bench") else sys.executable


def machine():
    """The processor in words, and the GPU if there is one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {len(os.sched_getaffinity(0))} cores{gpu}"


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="Python with fusion-bench and mergekit")
    parser.add_argument("--only", default="", help="a part of the names of the rows to be measured")
    parser.add_argument("--again", action="store_true", help="measure also what was measured before")
    return parser.parse_args()


if __name__ == "__main__":
    main()
