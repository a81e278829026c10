"""Fisher merging and RegMean: the statistics against slow references, the merges in limits with known answers."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from mergelib import merge
from mergelib.adapt.fisher import fisher
from mergelib.adapt.gradients import absolute_gradient, fisher_information, loss_gradient, tower_with
from mergelib.adapt.regmean import regmean
from mergelib.networks.clip import image_features, normalise_pixels

TASK = "digits"


def scores(tower, suite, count):
    return image_features(tower, normalise_pixels(suite.pictures(TASK, "train", count)[0])) @ suite.heads[TASK]


# --- gradients

def test_a_gradient_in_parts_is_that_of_all_pictures(tiny_suite, monkeypatch):
    whole = loss_gradient(tiny_suite.base, tiny_suite, TASK, "train", 10)
    monkeypatch.setattr(type(tiny_suite), "gradient_batch", 4)         # 4, 4 and 2 of them
    parts = loss_gradient(tiny_suite.base, tiny_suite, TASK, "train", 10)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)      # sums in another order, fp32


def test_the_absolute_gradient_is_the_mean_over_pictures_of_each_one_s(tiny_suite):
    tower = tower_with(tiny_suite.base, tiny_suite)
    labels = torch.as_tensor(tiny_suite.pictures(TASK, "train", 4)[1])
    slow = torch.zeros_like(tower.proj)
    for i in range(4):          # the loss of picture i, from a batch of all four
        tower.zero_grad()
        cross_entropy(scores(tower, tiny_suite, 4)[i:i + 1], labels[i:i + 1]).backward()
        slow += tower.proj.grad.abs() / 4
    found = absolute_gradient(tiny_suite.base, tiny_suite, TASK, count=4)["proj"]
    torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-6)
    assert (found > 1.05 * loss_gradient(tiny_suite.base, tiny_suite, TASK, "train", 4)["proj"].abs()).float().mean() > 0.3


def test_the_fisher_information_is_the_mean_of_the_squares_over_classes_and_pictures(tiny_suite):
    tower = tower_with(tiny_suite.base, tiny_suite)
    slow = {name: torch.zeros_like(weight) for name, weight in tower.named_parameters()}
    for i in range(3):
        for y in range(5):
            tower.zero_grad()
            log_p = scores(tower, tiny_suite, 3)[i].log_softmax(dim=0)[y]
            log_p.backward()
            for name, weight in tower.named_parameters():
                slow[name] += log_p.detach().exp() * weight.grad.square() / 3
    found = fisher_information(tiny_suite.base, tiny_suite, TASK, count=3)
    for name in slow:
        torch.testing.assert_close(found[name], slow[name], rtol=1e-3, atol=1e-7 * slow[name].max().item())


# --- Fisher merging

def test_fisher_merging_by_hand():
    taus, information = torch.tensor([[2.0, 1.0, 4.0], [4.0, 3.0, 0.0]]), torch.tensor([[1.0, 0.0, 1e-6], [3.0, 1.0, 1e-6]])
    assert fisher(torch.ones(3), taus, information).tolist() == pytest.approx([1 + 14 / 4, 1 + 3, 1 + 2])


def test_where_no_picture_says_anything_fisher_is_the_mean(tiny_suite):
    merged = merge("fisher", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, examples=4, floor=1e9)
    mean = merge("weight-average", tiny_suite.base, tiny_suite.experts)
    for name in mean:
        torch.testing.assert_close(merged[name], mean[name], rtol=0, atol=1e-6)


def test_fisher_lies_between_the_experts_and_is_not_their_mean(tiny_suite):
    merged = merge("fisher", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, examples=8)
    mean = merge("weight-average", tiny_suite.base, tiny_suite.experts)
    one, other = tiny_suite.experts.values()
    for name in merged:
        low, high = torch.minimum(one[name], other[name]), torch.maximum(one[name], other[name])
        assert ((merged[name] >= low - 1e-5) & (merged[name] <= high + 1e-5)).all()
    assert (merged["proj"] - mean["proj"]).abs().mean() > 0.005          # the experts are 0.05 times a normal draw away


def test_each_expert_s_information_counts_by_its_shape_and_not_by_its_size(tiny_suite):
    # the sum of squares of an expert's information is one: a head that is ten times as sharp has no more say
    ours = merge("fisher", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, examples=2, floor=0.0)
    information = [fisher_information(expert, tiny_suite, task, count=2) for task, expert in tiny_suite.experts.items()]
    lengths = [sum(x.square().sum() for x in each.values()).sqrt() for each in information]
    f = [each["proj"] / length for each, length in zip(information, lengths)]
    one, other = (expert["proj"] for expert in tiny_suite.experts.values())
    torch.testing.assert_close(ours["proj"], (f[0] * one + f[1] * other) / (f[0] + f[1]), rtol=0, atol=1e-4)


# --- RegMean

def layers(count=2, rows=4, columns=6, pictures=50, seed=0):
    """Base weight, task vectors, and inputs of a linear layer for each task."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, columns, generator=draw), torch.randn(count, rows, columns, generator=draw),
            torch.randn(count, pictures, columns, generator=draw))


def test_regmean_solves_the_regression_of_every_expert_s_outputs():
    theta_0, taus, inputs = layers()
    merged = regmean(theta_0, taus, inputs.mT @ inputs / 50, alpha=1.0)
    outputs = torch.cat([x @ (theta_0 + tau).T for x, tau in zip(inputs, taus)])
    solved = torch.linalg.lstsq(torch.cat(list(inputs)), outputs).solution.T
    torch.testing.assert_close(merged, solved, rtol=0, atol=1e-4)           # the jitter is 1e-6 of the diagonal


def test_regmean_with_the_same_inputs_everywhere_is_the_mean():
    theta_0, taus, inputs = layers()
    grams = (inputs[:1].mT @ inputs[:1]).expand(2, -1, -1)
    torch.testing.assert_close(regmean(theta_0, taus, grams), theta_0 + taus.mean(dim=0), rtol=0, atol=1e-5)


def test_regmean_without_off_diagonal_entries_weighs_each_column():
    theta_0, taus, inputs = layers()
    grams = inputs.mT @ inputs
    weights = grams.diagonal(dim1=1, dim2=2)
    expected = theta_0 + (weights[:, None] * taus).sum(dim=0) / weights.sum(dim=0)
    torch.testing.assert_close(regmean(theta_0, taus, grams, alpha=0.0), expected, rtol=0, atol=1e-4)


def test_regmean_bears_inputs_that_do_not_span_the_layer():
    theta_0, taus, inputs = layers(pictures=2)
    assert regmean(theta_0, taus, inputs.mT @ inputs, alpha=1.0).abs().max() < 20


def test_regmean_sees_every_linear_layer_and_averages_the_rest(tiny_suite):
    merged = merge("regmean", tiny_suite.base, tiny_suite.experts, suite=tiny_suite, examples=8)
    mean = merge("weight-average", tiny_suite.base, tiny_suite.experts)
    different = {name for name in mean if (merged[name] - mean[name]).abs().max() > 1e-4}
    assert different == {f"transformer.resblocks.0.{name}" for name in (
        "attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")}


def test_regmean_of_one_expert_is_that_expert(tiny_suite):
    expert = tiny_suite.experts[TASK]
    merged = merge("regmean", tiny_suite.base, {TASK: expert}, suite=tiny_suite, examples=40)
    for name in merged:         # solving with ill-conditioned Gram matrices and a jitter of 1e-6
        torch.testing.assert_close(merged[name], expert[name], rtol=0, atol=1e-4)


def test_the_inputs_are_the_expert_s_own(tiny_suite):
    from mergelib.adapt.regmean import regmean_pass
    from mergelib.merging.work import stream
    found = regmean_pass(lambda: stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base)), tiny_suite.base,
                         tiny_suite.tasks, tiny_suite, examples=8)["each"]
    for i, (task, expert) in enumerate(tiny_suite.experts.items()):
        tower, seen = tower_with(expert, tiny_suite), []
        tower.transformer.resblocks[0].mlp.c_proj.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        tower(normalise_pixels(tiny_suite.pictures(task, "train", 8)[0]))
        x = seen[0].flatten(0, 1)
        gram = found["transformer.resblocks.0.mlp.c_proj.weight"]["grams"][i]
        torch.testing.assert_close(gram, x.T @ x / len(x), rtol=1e-4, atol=1e-6)
