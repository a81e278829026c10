"""Adapters merged into one adapter: PEFT loads it, it gives the merge's weights, and how far it is off is said."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_peft import bert, gpt2, llama, trained

from mergelib import CheckpointError, merge
from mergelib.__main__ import main
from mergelib.checkpoints.states import open_state, write_state
from mergelib.merging.as_adapter import merge_to_adapter

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")
TARGETS = {gpt2: ["c_attn", "c_proj", "lm_head"], llama: ["q_proj", "down_proj"], bert: ["query", "intermediate.dense"]}


def two(make, folder, *ranks, **config):
    """(the base, two adapters of some of its layers): the second has a layer less."""
    targets = TARGETS[make]
    base, first, _ = trained(make, folder / "first", {"target_modules": targets, "r": ranks[0], **config})
    _, second, _ = trained(make, folder / "second", {"target_modules": targets[1:], "r": ranks[1], "lora_alpha": -3})
    return base, {"first": first, "second": second}


def loaded(make, base, folder):
    """The weights that PEFT makes of an adapter."""
    network = make()
    network.load_state_dict(base)
    return peft.PeftModel.from_pretrained(network, folder).merge_and_unload().state_dict()


@pytest.mark.parametrize("make", TARGETS)
@pytest.mark.parametrize("method", ["weight-average", "task-arithmetic"])
def test_a_rank_as_large_as_the_sum_loses_nothing(tmp_path, make, method):
    base, experts = two(make, tmp_path, 3, 2, use_rslora=True)
    report = merge_to_adapter(method, base, experts, 5, tmp_path / "out")
    wanted, by_peft = merge(method, base, experts), loaded(make, base, tmp_path / "out")
    assert report.error < 1e-5      # rounding of merged - base in fp32, whose numbers are near 1 and changes near 0.1
    for name in base:
        torch.testing.assert_close(by_peft[name], wanted[name], rtol=1e-5, atol=1e-6)
    again = merge("weight-average", base, [tmp_path / "out"])
    assert all(torch.allclose(again[name], by_peft[name], rtol=0, atol=1e-6) for name in base)


def test_a_smaller_rank_is_the_best_approximation_and_says_how_far_it_is(tmp_path):
    base, experts = two(llama, tmp_path, 3, 2)
    report = merge_to_adapter("ties", base, experts, 2, tmp_path / "out", density=0.5)
    sub = {name: base[name] for name in report.errors}
    opened = {task: open_state(folder, base) for task, folder in experts.items()}
    dense = {task: {name: expert[name] for name in sub} for task, expert in opened.items()}
    exact, ours = merge("ties", sub, dense, density=0.5), loaded(llama, base, tmp_path / "out")
    missed, size = 0.0, 0.0
    for name in sub:
        singular = torch.linalg.svdvals(exact[name] - base[name]).square()
        miss = (ours[name] - exact[name]).square().sum().item()
        assert miss == pytest.approx(singular[2:].sum().item(), rel=1e-3)         # Eckart and Young; fp32
        assert report.errors[name] == pytest.approx((miss / singular.sum().item()) ** 0.5, rel=1e-3)
        missed, size = missed + miss, size + singular.sum().item()
    assert report.error == pytest.approx((missed / size) ** 0.5, rel=1e-3)
    worst = max(report.errors, key=report.errors.get)
    assert f"rank 2 for 4 matrices; relative error {report.error:.2g} overall" in str(report) and f"({worst})" in str(report)


def test_a_rank_above_that_of_a_matrix_is_filled_with_zeros(tmp_path):
    base, experts = two(llama, tmp_path, 3, 2)
    report = merge_to_adapter("ties", base, experts, 20, tmp_path / "out")
    assert report.error < 1e-5 and load_file(tmp_path / "out" / "adapter_model.safetensors")[
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"].shape == (20, 16)
    loaded(llama, base, tmp_path / "out")


@pytest.mark.parametrize("config, named", [
    ({"bias": "lora_only"}, "first changes bert.encoder.layer.0.attention.self.query.bias"),
    ({"modules_to_save": ["classifier"]}, "first changes classifier.weight"),
    ({"target_modules": ["query", "word_embeddings"]}, "first changes bert.embeddings.word_embeddings.weight")])
def test_what_no_pair_of_matrices_can_say_is_refused_by_name(tmp_path, config, named):
    base, experts = two(bert, tmp_path, 3, 2, **config)
    with pytest.raises(CheckpointError, match=f"(?s)cannot be merged into one adapter.*{named}"):
        merge_to_adapter("weight-average", base, experts, 5, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_gives_no_adapter_is_refused(tmp_path):
    base, experts = two(llama, tmp_path, 3, 2)
    for call, named in [(("emr", base, experts, 2), "more than one model"), (("adamerging", base, experts, 2), "needs"),
                        (("ties", base, experts, 0), "rank is 0"),
                        (("ties", base, {**experts, "whole": base}, 2), "whole is no LoRA"),
                        (("task-arithmetic", base, experts, 2), "changes nothing")]:
        with pytest.raises(ValueError, match=named):
            merge_to_adapter(*call, tmp_path / "out", **{"lam": 0.0} if call[0] == "task-arithmetic" else {})
    with pytest.raises(CheckpointError, match="first already holds adapter_model.safetensors"):
        merge_to_adapter("ties", base, experts, 2, tmp_path / "first")


def test_the_command_writes_an_adapter(tmp_path, capsys):
    base, experts = two(llama, tmp_path, 3, 2)
    write_state(tmp_path / "base" / "model.safetensors", base)
    asked = ["merge", "--base", tmp_path / "base", "--method", "weight-average", "--out", tmp_path / "out", "--as-adapter", 5,
             *(word for folder in experts.values() for word in ("--expert", folder))]
    assert main([str(word) for word in asked]) == 0
    assert f"{tmp_path / 'out'}: an adapter of rank 5 for 4 matrices" in capsys.readouterr().out
    assert main([str(word) for word in [*asked, "--dtype", "float16"]]) == 2
    assert "neither --dtype nor --dry-run" in capsys.readouterr().err


def test_the_adapter_is_fp32_whatever_the_base_is_and_names_it(tmp_path):
    base, experts = two(llama, tmp_path, 3, 2)
    half = {name: tensor.bfloat16() for name, tensor in base.items()}
    write_state(tmp_path / "base" / "model.safetensors", half)
    merge_to_adapter("ties", tmp_path / "base", experts, 2, tmp_path / "out")
    written = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "base") and config["r"] == config["lora_alpha"] == 2
