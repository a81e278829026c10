"""Does docs/checkpoints.md say what holds? Its tests exist, its commands and its code run, its messages are said somewhere."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mergelib.__main__ import main
from mergelib.paths import ROOT

TEXT = (ROOT / "docs" / "checkpoints.md").read_text()
NAMED = re.findall(r"`(test_\w+)::(\w+)`", TEXT)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.M | re.S)
COMMANDS = [line for language, block in BLOCKS if language != "python" for line in block.splitlines()]
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if re.match(r"\| (?!-|.*\| test \|$)", line)]
REFUSALS = TEXT.partition("## What is refused")[2].partition("## What may differ")[0]
Q_PROJ = "model.layers.{}.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which a reader may be: a base, two experts, an adapter of each, an old pickled file."""
    draw = torch.Generator().manual_seed(0)
    shapes = {Q_PROJ.format(0): (8, 8), Q_PROJ.format(1): (8, 8), "model.norm.weight": (8,)}
    state = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    for path in ("base", "math", "code"):
        (tmp_path / path).mkdir()
        save_file({name: tensor + (path != "base") * 0.1 * torch.randn(tensor.shape, generator=draw)
                   for name, tensor in state.items()}, tmp_path / path / "model.safetensors")
    for path in ("math-lora", "code-lora"):
        (tmp_path / path).mkdir()
        save_file({f"base_model.model.{Q_PROJ.format(i).removesuffix('weight')}lora_{part}.weight":
                   torch.randn(shape, generator=draw) for i in (0, 1) for part, shape in (("A", (2, 8)), ("B", (8, 2)))},
                  tmp_path / path / "adapter_model.safetensors")
        (tmp_path / path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    torch.save({"epoch": 3, "model": {**state, "lm_head.weight": state["model.norm.weight"]}}, tmp_path / "old.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MERGELIB_CORES", "1")
    return tmp_path


def functions(file):
    """The names of the test functions in a file."""
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists():
    missing = [f"{file}::{name}" for file, name in NAMED if name not in functions(Path(__file__).with_name(f"{file}.py"))]
    assert NAMED and missing == []


def test_every_line_of_a_table_names_a_test():
    assert ROWS and [row for row in ROWS if not re.search(r"`test_\w+::test_\w+`$", row[-1])] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_does_what_it_is_for(folder, capsys, command):
    program, *arguments = shlex.split(command)
    assert program == "mergelib" and main(arguments) == 0
    out = capsys.readouterr().out
    assert out and ("--json" not in arguments or json.loads(out))
    written = "--out" in arguments and "--dry-run" not in arguments
    assert {file.name for file in folder.iterdir() if file.is_dir()} - {"base", "math", "code", "math-lora", "code-lora"} == (
        {arguments[arguments.index("--out") + 1].strip("/")} if written else set())


@pytest.mark.parametrize("code", [block for language, block in BLOCKS if language == "python"])
def test_every_block_of_python_runs(folder, code):
    exec(code, {})
    assert (folder / "merged" / "model.safetensors").exists() or (folder / "model.safetensors").exists()


def said():
    """All texts of the library, with ... where something is filled in."""
    for file in (ROOT / "mergelib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_message_that_is_quoted_is_one_of_the_library():
    texts, quoted = list(said()), [message for line in REFUSALS.splitlines() if line.startswith("| `")
                                   for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    parts = {message: [part.strip() for part in message.split("...") if part.strip()] for message in quoted}
    assert len(quoted) > 40 and [message for message in quoted if not any(
        all(part in text for part in parts[message]) for text in texts)] == []


def test_the_readme_leads_here():
    assert "docs/checkpoints.md" in (ROOT / "README.md").read_text()
