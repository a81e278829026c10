"""How do GLUE's files and the published Flan-T5 adapters become a suite? Folders as the hub has them, without a network.

    folder/base/                      google/flan-t5-base (or -large): config, tokenizer, model.safetensors
    folder/adapters/TASK/             tanganke/flan-t5-base_glue-TASK_lora-16: adapter_config.json, adapter_model.safetensors
    folder/glue/TASK/SPLIT-*.parquet  nyu-mll/glue: train, and validation or validation_matched
    folder/glue_prompt_templates.py   from FusionBench, fusion_bench/tasks/flan_t5_text_generation/; read, never run
"""

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..checkpoints.adapters import read_adapter
from ..checkpoints.lazy import CheckpointError
from ..networks import DEVICE
from ..networks.t5 import T5Folder, text_network
from ..paths import checksum
from .words import WordSuite

TITLES = {"cola": "CoLA", "mnli": "MNLI", "mrpc": "MRPC", "qnli": "QNLI", "qqp": "QQP", "rte": "RTE", "sst2": "SST2",
          "stsb": "STSB"}                       # as DOGE's tables print them, in their order
TUNING = 500                                    # examples of the training split that serve to choose hyper-parameters
SUITES = {"glue-8": tuple(TITLES)}
LONGEST = 9                                     # tokens of an answer: FusionBench generates ten, the first of which starts it


@dataclass(frozen=True)
class GlueSuite(WordSuite):
    """A suite whose examples are GLUE's: "test" is its validation split, whose labels are public."""

    folder: Path = Path()

    side_by_side = False        # a merge needs the whole machine
    entropy_batch = 1           # one task at a time
    longest = LONGEST
    graded = ("stsb",)

    @property
    def source(self):
        return T5Folder(str(self.folder / "base"))

    def examples(self, task, split, count=None):
        """(questions, answers): of "validation" some of the training split, always the same."""
        return tuple(texts[:count] for texts in read_examples(self.folder, task, split))


def load(name, model="flan-t5-base", seed=0, folder=None, device=None):
    """The suite "glue-8" of the published experts in a folder (see above); `model` is what it is called in tables.

    The base is read into memory in fp32; an adapter's matrices are read when they are merged. What learns on test inputs
    should be given `keys=None`, or it holds dense task vectors of all tensors. Raises ValueError without a folder
    or with a seed, CheckpointError that lists all that is missing and where it comes from.
    """
    if folder is None or seed:
        raise ValueError("The published adapters lie in a folder of yours and have one seed, 0: load_suite('glue-8', "
                         f"folder='flan/'). It holds:\n{__doc__.split(chr(10), 2)[2]}")
    _check_there(folder, TITLES)
    source = T5Folder(str(folder / "base"))
    base = {name: weight.detach() for name, weight in text_network(source, device or DEVICE).named_parameters()}
    experts = {task: read_adapter(folder / "adapters" / task, base) for task in TITLES}
    files = sorted((folder / "base").glob("*.safetensors")) + [path for task in TITLES for path in experts[task].paths()]
    digest = hashlib.sha256("".join(checksum(Path(file)) for file in files).encode()).hexdigest()[:8]
    return GlueSuite(name, model or "flan-t5-base", 0, base, experts, {}, digest, folder=folder)


def _check_there(folder, tasks):
    """Raise CheckpointError unless everything is in its place."""
    wanted = {"base/config.json": "google/flan-t5-base or -large", "base/*.safetensors": "google/flan-t5-base or -large",
              "glue_prompt_templates.py": "FusionBench, fusion_bench/tasks/flan_t5_text_generation/"}
    for task in tasks:
        wanted |= {f"adapters/{task}/adapter_model.safetensors": f"tanganke/flan-t5-base_glue-{task}_lora-16 or -large_",
                   f"glue/{task}/{split_of(task)}-*.parquet": f"nyu-mll/glue, {task}"}
    if missing := [f"{name} ({source})" for name, source in wanted.items() if not any(folder.glob(name))]:
        raise CheckpointError(f"{folder} lacks what a GLUE suite needs:\n  " + "\n  ".join(missing) + "\nFetch it from the "
                              "Hugging Face hub (the last part of the list names the repository) and put it there.")


def split_of(task, split="test"):
    """GLUE's name for one of our splits of a task."""
    return "train" if split != "test" else "validation_matched" if task == "mnli" else "validation"


@cache
def read_examples(folder, task, split):
    """(questions, answers) of one task, two tuples of texts, as the adapters were trained to read them."""
    files = sorted(folder.glob(f"glue/{task}/{split_of(task, split)}-*.parquet"))
    if not files:
        raise CheckpointError(f"{folder}/glue/{task} has no {split_of(task, split)}-*.parquet. Fetch it from nyu-mll/glue.")
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    if split == "validation":
        rows = rows.iloc[np.random.default_rng(0).permutation(len(rows))[:TUNING]]
    prompt = read_prompts(folder / "glue_prompt_templates.py")[task]
    return tuple(zip(*(ask(task, prompt, row) for row in rows.to_dict("records"))))


def ask(task, prompt, row):
    """(question, answer) of one row of GLUE; CheckpointError for a row without the columns or with a hidden label."""
    try:
        question = prompt["input_text"].format(**row)
    except KeyError as missing:
        raise CheckpointError(f"GLUE's {task} should have a column {missing}, but has {', '.join(row)}. Fetch the files of "
                              "nyu-mll/glue.") from None
    target, label = prompt["target_text"], row["label"]
    answer = target.format(label) if isinstance(target, str) else target.get(str(label))
    if answer is None or (isinstance(target, str) and label < 0):
        raise CheckpointError(f"GLUE's {task} has a label {label}, for which there is no answer. In its test split labels are "
                              "hidden; take validation and train.")
    return question, answer


@cache
def read_prompts(file):
    """Task -> {"input_text": template, "target_text": label -> answer, or a format}, the literals of FusionBench's module."""
    try:
        found = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(file.read_text()).body
                 if isinstance(node, ast.Assign) and node.targets[0].id in TITLES}
    except (SyntaxError, ValueError) as error:
        raise CheckpointError(f"{file} is not FusionBench's list of prompts ({error}). Fetch it again.") from error
    if missing := sorted(task for task in TITLES if not {"input_text", "target_text"} <= set(found.get(task, ()))):
        raise CheckpointError(f"{file} has no prompt for {', '.join(missing)}. Fetch FusionBench's glue_prompt_templates.py.")
    return found
