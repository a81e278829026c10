"""What people hand to a merge: taken as they mean it, or refused in words; never a traceback."""

import json

import numpy as np
import pytest
import torch
from conftest import make_clip
from safetensors.torch import save_file
from test_merge import DATA_FREE, FAST
from torch import nn

from mergelib import CheckpointError, eta_for_mean_lambda, merge
from mergelib.__main__ import main
from mergelib.checkpoints.families import read_tower
from mergelib.checkpoints.states import open_state, read_state

ZERO, ONE = {"w": torch.zeros(2, 2)}, {"w": torch.ones(2, 2)}
WRAPPED = {"state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {0: {}}, "lr": 1.0}},
           "model": lambda state: {"model": state, "args": [1]}, "model_state_dict": lambda state: {"model_state_dict": state},
           "twice": lambda state: {"step": torch.tensor(1), "checkpoint": {"net": state, "name": "x"}}}


def average(expert, base=ZERO):
    return merge("weight-average", base, expert)["w"].tolist()


# --- one expert and many

@pytest.mark.parametrize("experts", [
    ONE, [ONE], (ONE,), {"a": ONE}, iter([ONE]), {"epoch": 1, "model": ONE}, {"a": {"model": ONE}}, {0: ONE},
    [{"w": np.ones((2, 2), np.float32)}]])
def test_one_expert_is_one_however_it_is_given(experts):
    assert average(experts) == [[1, 1], [1, 1]]


def test_a_path_is_one_expert_and_no_list_of_letters(tmp_path):
    for name, state in (("base", ZERO), ("e", ONE)):
        save_file(state, tmp_path / f"{name}.safetensors")
    for experts in (str(tmp_path / "e.safetensors"), tmp_path / "e.safetensors"):
        assert average(experts, tmp_path / "base.safetensors") == [[1, 1], [1, 1]]
    with pytest.raises(CheckpointError, match="nowhere.* is the path of one expert, not a list of letters"):
        average("nowhere")


@pytest.mark.parametrize("experts", [
    None, [], {}, 5, True, b"x", [None], [5], [[ONE]], [[]], {"a": 1, "b": 2}, {"a": [ONE]}, torch.ones(2), np.ones(2),
    object(), [object()], [{}], {"a": {}}, {"a": {1: torch.ones(2)}}, nn.ReLU()])
def test_what_is_no_expert_is_refused(experts):
    with pytest.raises(CheckpointError):
        average(experts)


@pytest.mark.parametrize("base", [None, 5, [ZERO], {}, {"w": 1.0}, {"w": [1.0]}, {1: torch.ones(2)}, "nowhere", nn.Linear])
def test_what_is_no_base_is_refused(base):
    with pytest.raises(CheckpointError, match="base"):
        average(ONE, base)


# --- one state dict

@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_wrapped_state_dict_is_unwrapped_in_memory_and_in_a_torch_file(tmp_path, wrap):
    assert average(WRAPPED[wrap](ONE), WRAPPED[wrap](ZERO)) == [[1, 1], [1, 1]]
    torch.save(WRAPPED[wrap](ONE), tmp_path / "x.pt")
    assert average([tmp_path / "x.pt"]) == [[1, 1], [1, 1]]


def test_of_several_state_dicts_none_is_guessed():
    with pytest.raises(CheckpointError, match="several state dicts: 'model', 'ema'.*checkpoint.'model'."):
        open_state({"model": ONE, "ema": ZERO})
    with pytest.raises(CheckpointError, match="not a state dict.*'epoch' .of type int."):
        open_state({**ONE, "epoch": 3})


def test_a_module_is_its_state_dict():
    base, expert = nn.Linear(2, 2), nn.Linear(2, 2)
    merged = merge("weight-average", base, expert)
    assert torch.allclose(merged["weight"], expert.weight) and not merged["weight"].requires_grad


@pytest.mark.parametrize("array", [np.ones((2, 2)), np.ones((2, 2), np.float16), np.ones((2, 2), ">f4"), np.ones((2, 2))[::-1],
                                   np.broadcast_to(np.float32(1), (2, 2))])
def test_arrays_become_tensors(array):
    assert average({"w": array}, {"w": np.zeros_like(array)}) == [[1, 1], [1, 1]]


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array([1j]), np.array(["2020-01-01"], "M8[D]")])
def test_arrays_of_other_things_are_refused(array):
    with pytest.raises(CheckpointError, match="w is"):
        open_state({"w": array})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make, word", [
    (lambda: torch.ones(2, 2, device="meta"), "meta"), (lambda: torch.eye(2).to_sparse(), "sparse"),
    (lambda: torch.eye(2).to_sparse_csr(), "sparse"), (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
    (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
    (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested")])
def test_tensors_without_plain_numbers_are_refused_by_name(make, word):
    with pytest.raises(CheckpointError, match=f"w is .*{word}"):
        open_state({"w": make()})


@pytest.mark.parametrize("method", DATA_FREE)
def test_scalars_and_empty_tensors_merge(tmp_path, method):
    shapes = {"scale": (), "none": (0,), "matrix of none": (0, 4), "matrix": (4, 4)}
    draw = torch.Generator().manual_seed(0)
    states = [{name: torch.randn(shape, generator=draw) for name, shape in shapes.items()} for _ in range(3)]
    for i, state in enumerate(states):
        save_file(state, tmp_path / f"{i}.safetensors")
    base, *experts = (tmp_path / f"{i}.safetensors" for i in range(3))
    options = FAST.get(method, {}) | ({"eta": 0.1} if "eta" in DATA_FREE[method].declared else {})
    found = merge(method, states[0], states[1:], **options)
    for merged in found.values() if DATA_FREE[method].per_task else [found]:
        assert {name: tuple(tensor.shape) for name, tensor in merged.items()} == shapes
    if not DATA_FREE[method].per_task:
        merged = read_state(merge(method, base, experts, out=tmp_path / "out", **options))
        assert all(torch.equal(merged[name], found[name]) for name in shapes)


# --- arguments

@pytest.mark.parametrize("word", ["bfloat16", "torch.bfloat16", torch.bfloat16])
def test_a_dtype_may_be_a_word(word):
    assert merge("weight-average", ZERO, ONE, out_dtype=word)["w"].dtype == torch.bfloat16


@pytest.mark.parametrize("arguments, name", [
    ({"out_dtype": "fp8"}, "out_dtype"), ({"out_dtype": torch.int8}, "out_dtype"), ({"out_dtype": 16}, "out_dtype"),
    ({"shard_size": 0}, "shard_size"), ({"shard_size": -1}, "shard_size"), ({"shard_size": float("nan")}, "shard_size"),
    ({"shard_size": "5GB"}, "shard_size"), ({"shard_size": None}, "shard_size"), ({"out": 5}, "out"), ({"out": ""}, "out"),
    ({"out": []}, "out"), ({"executor": 5}, "executor"), ({"preset": 5}, "preset"), ({"preset": []}, "preset"),
    ({"keys": "("}, "keys"), ({"keys": 5}, "keys"), ({"others": "median"}, "others"),
    ({"others": []}, "others"), ({"lam": "abc"}, "lam"), ({"lam": [0.3, 0.7]}, "lam"), ({"lam": None}, "lam"),
    ({"lam": float("inf")}, "lam"), ({"lam": 10 ** 400}, "lam"), ({"lam": 1j}, "lam"), ({"lam": True}, "lam"),
    ({"lamb": 1}, "lamb")])
def test_arguments_are_checked_before_anything_is_read(arguments, name):
    with pytest.raises(ValueError, match=name):
        merge("task-arithmetic", "nowhere", ["nowhere"], **arguments)


@pytest.mark.parametrize("method", ["tie", None, 5, [], {}])
def test_an_unknown_method_is_refused(method):
    with pytest.raises(ValueError, match="Known methods"):
        merge(method, ZERO, ONE)


@pytest.mark.parametrize("options, said", [
    ({"below": "tie"}, "below is 'tie'"), ({"below": "emr"}, "below is 'emr'"),
    ({"below_options": {"lamb": 1}}, "no option lamb"),
    ({"below_options": {"lam": "x"}}, "lam is 'x'"), ({"below_options": {1: 2}}, "no option 1")])
def test_what_a_method_builds_on_is_checked_before_anything_is_read(options, said):
    with pytest.raises(ValueError, match=said):
        merge("surgery", "nowhere", ["nowhere"], **options)


def test_a_suite_that_is_none_is_refused():
    with pytest.raises(ValueError, match="suite is of type int"):
        merge("adamerging", ZERO, ONE, suite=5)


def test_the_rule_for_eta_takes_what_a_merge_takes():
    base = {"visual.transformer.resblocks.0.mlp.c_fc.weight": torch.zeros(2, 2)}
    expert = {name: tensor + 1 for name, tensor in base.items()}
    assert eta_for_mean_lambda({"model": base}, [{"state_dict": expert, "epoch": 1}]) > 0


# --- pickled files

def test_tied_tensors_of_a_pickled_file_merge(tmp_path):
    for name, shift in (("base", 0), ("expert", 1)):
        weight = torch.ones(4, 2) + shift
        torch.save({"wte.weight": weight, "lm_head.weight": weight}, tmp_path / f"{name}.bin")
    out = merge("weight-average", tmp_path / "base.bin", [tmp_path / "expert.bin"], out=tmp_path / "out")
    assert read_state(out)["lm_head.weight"].unique().tolist() == [2]


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin", ".ckpt", ".pkl"])
def test_a_torch_file_is_read_under_any_of_its_usual_names(tmp_path, ending):
    torch.save(ONE, tmp_path / f"x{ending}")
    assert average([tmp_path / f"x{ending}"]) == [[1, 1], [1, 1]]


def test_an_old_torch_file_is_read_and_shards_of_pickles_are_not(tmp_path):
    torch.save(ONE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert average([tmp_path / "old.pt"]) == [[1, 1], [1, 1]]
    torch.save(ONE, tmp_path / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(CheckpointError, match="shard of 2.*save_pretrained"):
        open_state(tmp_path / "pytorch_model-00001-of-00002.bin")


def test_a_pickled_module_is_refused_with_advice_that_serves_tied_tensors(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"Pickled checkpoints .* can run code.*clone\(\)"):
        open_state(tmp_path / "x.pt")


def test_an_expanded_tensor_in_a_pickled_file_is_refused(tmp_path):
    torch.save({"w": torch.ones(1).expand(1 << 40)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="fewer numbers"):
        open_state(tmp_path / "x.pt")


def test_what_open_clip_saves_each_epoch_is_read_as_a_tower(tmp_path):
    visual = make_clip().visual.state_dict()
    saved = {"epoch": 3, "name": "x", "optimizer": {"state": {}},
             "state_dict": {f"module.visual.{name}": tensor for name, tensor in visual.items()}}
    torch.save(saved, tmp_path / "epoch_3.pt")
    assert read_tower(tmp_path / "epoch_3.pt").keys() == visual.keys()
    del saved["state_dict"]["module.visual.proj"], saved["state_dict"]["module.visual.ln_pre.bias"]
    torch.save(saved, tmp_path / "epoch_3.pt")
    with pytest.raises(CheckpointError, match="(?s)in its entry 'state_dict'.*ln_pre.bias"):
        read_tower(tmp_path / "epoch_3.pt")


# --- the command

@pytest.fixture
def call(tmp_path, capsys):
    """`mergelib merge` of two small files: (exit code, stdout, stderr)."""
    for name, state in (("base", ZERO), ("e", ONE)):
        save_file({"w.weight": state["w"]}, tmp_path / f"{name}.safetensors")

    def run(*more, method="task-arithmetic", expert=tmp_path / "e.safetensors"):
        arguments = ["merge", "--base", tmp_path / "base.safetensors", "--expert", expert, "--method", method, *more]
        code = main([str(argument) for argument in (*arguments, "--workers", 1)])
        return code, *capsys.readouterr()
    return run


@pytest.mark.parametrize("name", ["base", "experts", "method", "out", "executor", "preset", "out_dtype", "shard_size", "suite"])
def test_options_cannot_stand_for_arguments_of_the_command(tmp_path, call, name):
    code, _, message = call("--option", f"{name}={tmp_path}/x", "--out", tmp_path / "out")
    assert code == 2 and f"no option {name}" in message and message.count("\n") == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("value", ["(" * 5000, "9" * 5000, "1e999", "[[[", "\0", "None", "{'a': 1}", "-" * 300 + "1"])
def test_no_value_of_an_option_is_too_odd_to_be_refused(tmp_path, call, value):
    code, _, message = call("--option", f"lam={value}", "--out", tmp_path / "out")
    assert code == 2 and "lam is" in message


def test_an_option_given_twice_is_refused(tmp_path, call):
    code, _, message = call("--option", "lam=1", "--option", "lam=2", "--out", tmp_path / "out")
    assert code == 2 and "lam is given more than once" in message


def test_a_misspelt_path_with_an_equals_sign_is_told_whole(tmp_path, call):
    code, _, message = call("--out", tmp_path / "out", expert=tmp_path / "lr=1e-4" / "missing")
    assert code == 2 and f"{tmp_path}/lr=1e-4/missing" in message


def test_a_report_as_json_has_what_the_text_says(tmp_path, call):
    for more in (("--json",), ("--json", "--dry-run", "--out", tmp_path / "out")):
        code, out, _ = call(*more)
        told = json.loads(out)
        assert code == 0 and told["method"] == "task-arithmetic" and told["experts"] == ["e"] and told["settings"]["lam"] > 0
        assert told["tensors"][0]["count"] == 1 and told["output"]["files"] == 1 and told["memory"]["tensor"] == "w.weight"
        assert told["time"]["seconds"] >= 0 and not (tmp_path / "out").exists()


def test_errors_are_json_too_and_so_is_the_place_of_a_merge(tmp_path, call, capsys):
    code, out, message = call("--json", expert=tmp_path / "nowhere")
    assert code == 2 and message == "" and "nowhere does not exist" in json.loads(out)["error"]
    code, out, _ = call("--json", "--out", tmp_path / "out")
    assert code == 0 and json.loads(out) == {"out": str(tmp_path / "out")}
    assert main(["inspect", "--json", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["merged"]["method"] == "task-arithmetic"
    with pytest.raises(SystemExit) as end:
        main(["merge", "--json"])
    assert end.value.code == 2 and "--base" in json.loads(capsys.readouterr().out)["error"]


def test_what_is_left_out_is_said_by_a_merge_and_stands_in_a_report_as_json(tmp_path, call):
    save_file({"w.weight": ONE["w"], "head.weight": torch.ones(3, 2)}, tmp_path / "more.safetensors")
    more = {"expert": tmp_path / "more.safetensors"}
    _, out, _ = call("--json", "--option", "keys=^w", **more)
    assert json.loads(out)["notes"] == ["expert more: head.weight is left out: the base lacks it"]
    code, _, said = call("--out", tmp_path / "out", "--option", "keys=^w", **more)
    assert code == 0 and said == "mergelib: About this merge:\n  expert more: head.weight is left out: the base lacks it\n"


def test_inspect_says_of_an_adapter_what_its_configuration_makes_of_it(tmp_path, capsys):
    save_file({"base_model.model.w.lora_A.weight": torch.ones(1, 2), "base_model.model.w.lora_B.weight": torch.ones(2, 1)},
              tmp_path / "adapter_model.safetensors")
    for more, refused in (({}, False), ({"use_qalora": True}, True)):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 1, **more}))
        assert main(["inspect", "--json", str(tmp_path)]) == 0
        said = json.loads(capsys.readouterr().out)["refused"]
        assert bool(said) == refused and ("use_qalora" in said) == refused


def test_inspect_reads_a_pickled_state_dict(tmp_path, capsys):
    torch.save({"epoch": 3, "state_dict": ONE}, tmp_path / "x.pt")
    assert main(["inspect", "--json", str(tmp_path / "x.pt")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tensors"] == 1 and told["numbers"] == 4 and told["refused"] == ""


@pytest.mark.parametrize("recipe", ["", "[]", "{}", '{"method": 1, "settings": 2, "experts": 3}'])
def test_a_damaged_recipe_is_told(tmp_path, capsys, recipe):
    save_file(ONE, tmp_path / "model.safetensors")
    (tmp_path / "merge.json").write_text(recipe)
    assert main(["inspect", str(tmp_path)]) == 2 and "merge.json is damaged" in capsys.readouterr().err
