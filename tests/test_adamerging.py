"""Are coefficients learned as AdaMerging says? Gradients against references, limits with known answers, kills and faults."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from mergelib import METHODS, merge
from mergelib.adapt.adamerging import Coefficients, learn_coefficients
from mergelib.adapt.learning import summed_loss
from mergelib.merging.loop import eta_for_mean_lambda
from mergelib.merging.work import stream
from mergelib.methods.doge.delta import Problem, doge_vectors
from mergelib.networks import training
from mergelib.suites.sketch import SketchSuite

LEARNED = [name for name, spec in METHODS.items() if spec.first_pass is learn_coefficients]
FAST = {"doge-am": {"solver_steps": 5}, "awd-am": {"awd_steps": 5}, "adamerging+++tatr": {"examples": 4},
        **dict.fromkeys(("concrete-am", "concrete-am-taskwise"), {"mask_steps": 2})}


def learn(suite, method="adamerging", experts=None, **options):
    """A merge of the suite's experts with few and quick steps."""
    options = {"steps": 4, "batch": 8, **FAST.get(method, {}), **options}
    return merge(method, suite.base, experts or suite.experts, suite=suite, **options)


def close(ours, theirs, tolerance):
    assert all(torch.allclose(ours[name], theirs[name], rtol=0, atol=tolerance) for name in theirs)


def difference(ours, theirs):
    return max((ours[name] - theirs[name]).abs().max().item() for name in theirs)


# --- the gradient

@pytest.fixture
def problem(tiny_suite, monkeypatch):
    """Coefficients in fp64, and the losses of both tasks on their first eight pictures."""
    monkeypatch.setattr(type(tiny_suite), "images", lambda self, pixels: SketchSuite.images(self, pixels).double())
    tiny_suite.heads = {task: head.double() for task, head in tiny_suite.heads.items()}
    tensors = [(name, theta_0.double(), taus.double())
               for name, theta_0, taus in stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base))]
    losses = [partial(tiny_suite.entropy, {}, "generated", {task: tiny_suite.inputs(task, "test")[:8]})
              for task in tiny_suite.tasks]
    return tensors, losses


def at(lam, tensors):
    """Coefficients with these values (T x L, or T x 1)."""
    model = Coefficients(tensors, *lam.shape[:1], "task" if lam.shape[1] == 1 else "layer").double()
    model.lam.data = lam.clone()
    return model


@pytest.mark.parametrize("granularity", ["layer", "task"])
def test_the_gradient_is_that_of_finite_differences(problem, granularity):
    tensors, losses = problem
    lam = 0.3 + 0.1 * torch.randn(2, len(tensors) if granularity == "layer" else 1, dtype=torch.float64,
                                  generator=torch.Generator().manual_seed(1))
    model = at(lam, tensors)
    summed_loss(model(), losses).backward()
    step = 1e-5
    for place in [(0, 0), (1, 0), (0, -1), (1, -1), (1, lam.shape[1] // 2)]:
        move = torch.zeros_like(lam)
        move[place] = step
        above, below = (sum(loss(at(lam + way * move, tensors)()) for loss in losses).item() for way in (1, -1))
        # central differences err by step^2 and by rounding / step, both below 1e-9 in fp64
        assert model.lam.grad[place].item() == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-8)


def test_value_and_gradient_are_those_of_one_graph_through_everything(problem):
    tensors, losses = problem
    ours, plain = (at(torch.full((2, len(tensors)), 0.3, dtype=torch.float64), tensors) for _ in range(2))
    value = summed_loss(ours(), losses)
    value.backward()
    merged = plain()
    reference = sum(loss(merged) for loss in losses)
    reference.backward()
    assert value.item() == pytest.approx(reference.item(), rel=1e-12)
    torch.testing.assert_close(ours.lam.grad, plain.lam.grad)
    assert ours.lam.grad.abs().min() > 0


# --- limits with known answers

def test_without_steps_it_is_task_arithmetic(tiny_suite):
    for method in ("adamerging", "adamerging-taskwise"):
        merged = learn(tiny_suite, method, steps=0, init=0.4)
        close(merged, merge("task-arithmetic", tiny_suite.base, tiny_suite.experts, lam=0.4), 1e-6)


def test_plus_plus_without_steps_is_ties_by_sum(tiny_suite):
    ties = merge("ties", tiny_suite.base, tiny_suite.experts, preset="code", lam=0.3, density=0.4)
    close(learn(tiny_suite, "adamerging++", steps=0, density=0.4), ties, 1e-6)


def test_doge_am_without_steps_adds_the_vectors_that_doge_made(tiny_suite):
    merged = learn(tiny_suite, "doge-am", preset="exact", steps=0, eta=0.07)
    how = Problem(eta=0.07, solver="exact", steps=5)
    for name, theta_0, taus in stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base)):
        inside = "resblocks" in name and ("attn" in name or "mlp" in name) and name.endswith("weight")
        expected = theta_0 + 0.3 * doge_vectors(taus, how).sum(dim=0) if inside else theta_0
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=1e-6)


def test_doge_am_as_released_shares_as_many_directions_as_each_task_gives(tiny_suite):
    ours = learn(tiny_suite, "doge-am", preset="code", steps=0)
    close(ours, learn(tiny_suite, "doge-am", preset="code", steps=0, rank_ratio=1 / 2), 0)       # two tasks: floor(r / 2)
    assert difference(ours, learn(tiny_suite, "doge-am", preset="code", steps=0, rank_ratio=1 / 6)) > 1e-6


def test_doge_am_s_eta_follows_the_rule_unless_given(tiny_suite):
    for preset in ("exact", "paper"):
        ours, given = (learn(tiny_suite, "doge-am", preset=preset, steps=0, init=0.2, **how) for how in (
            {}, {"eta": eta_for_mean_lambda(tiny_suite.base, tiny_suite.experts, target=0.2)}))
        close(ours, given, 0)


def test_task_wise_coefficients_are_one_per_expert(tiny_suite):
    merged = learn(tiny_suite, "adamerging-taskwise", lr=0.05)
    taus = [{name: expert[name] - tiny_suite.base[name] for name in expert} for expert in tiny_suite.experts.values()]
    steps = torch.cat([(merged[name] - tiny_suite.base[name]).flatten() for name in merged])
    columns = torch.stack([torch.cat([tau[name].flatten() for name in merged]) for tau in taus], dim=1)
    solved = torch.linalg.lstsq(columns.double(), steps.double()[:, None])
    assert (columns.double() @ solved.solution - steps[:, None]).abs().max() < 1e-6
    assert (solved.solution - 0.3).abs().min() > 0.01


# --- what learning does

@pytest.mark.parametrize("method", LEARNED)
def test_it_makes_the_model_surer(tiny_suite, method):
    def summed(state):
        return tiny_suite.entropy({}, "generated", {task: tiny_suite.inputs(task, "test") for task in tiny_suite.tasks}, state)
    before, after = (learn(tiny_suite, method, steps=steps, lr=0.05, batch=40) for steps in (0, 15))
    assert summed(after) < summed(before) - 1e-3


def test_the_clamp_holds_coefficients_between_zero_and_one(tiny_suite):
    def outside(clamp):
        found = learn_coefficients(
            lambda: stream(tiny_suite.base, tiny_suite.experts, list(tiny_suite.base)), tiny_suite.base, tiny_suite.tasks,
            tiny_suite, clamp=clamp, steps=8, batch=8, lr=0.3)
        lam = torch.stack([each["coefficients"] for each in found["each"].values()])
        return ((lam < 0) | (lam > 1)).any()
    assert not outside(clamp=True) and outside(clamp=False)


def test_the_order_of_the_experts_does_not_matter(tiny_suite):
    backwards = dict(reversed(tiny_suite.experts.items()))
    # sums in another order differ by 1e-8; Adam divides by the gradient's size, which may enlarge that in its first steps
    close(learn(tiny_suite, experts=backwards), learn(tiny_suite), 1e-5)


def test_how_many_pictures_go_through_the_tower_together_does_not_matter(tiny_suite, monkeypatch):
    together = learn(tiny_suite)
    monkeypatch.setattr(type(tiny_suite), "entropy_batch", 8)         # the batch of one task
    close(learn(tiny_suite), together, 1e-5)                 # as above


@pytest.mark.parametrize("method", LEARNED)
def test_what_comes_back_is_plain_numbers(tiny_suite, method):
    assert not any(tensor.requires_grad for tensor in learn(tiny_suite, method, steps=1).values())


def test_tensors_that_are_not_merged_stay_the_base_s(tiny_suite):
    merged = learn(tiny_suite, keys=r"mlp\.c_fc\.weight")
    changed = [name for name in merged if not torch.equal(merged[name], tiny_suite.base[name])]
    assert changed == ["transformer.resblocks.0.mlp.c_fc.weight"]


# --- kills and faults

def test_a_killed_run_goes_on_where_it_was(tiny_suite, monkeypatch, tmp_path):
    def killed(*arguments):
        if next(calls) == 7:              # two tasks a step: within the fourth step of six
            raise KeyboardInterrupt
        return SketchSuite.entropy(*arguments)
    monkeypatch.setattr(type(tiny_suite), "entropy_batch", 8)
    whole, calls = learn(tiny_suite, steps=6), count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=count(0, 60).__next__))      # a checkpoint every step
    monkeypatch.setattr(type(tiny_suite), "entropy", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(tiny_suite, steps=6)
    assert len(list(tmp_path.rglob("*.pt"))) == 1
    before = next(calls)
    close(learn(tiny_suite, steps=6), whole, 0)
    assert next(calls) - before - 1 == 2 * 3 and not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("method", LEARNED)
def test_without_a_suite_it_says_what_is_missing(tiny_suite, method):
    with pytest.raises(ValueError, match="needs unlabelled test pictures.*Give suite=.*load_suite"):
        merge(method, tiny_suite.base, tiny_suite.experts)


def test_experts_that_are_no_tasks_of_the_suite_are_named(tiny_suite):
    with pytest.raises(ValueError, match="expert-1, expert-2: no task of tiny. Name the experts .*: digits, signs"):
        learn(tiny_suite, experts=list(tiny_suite.experts.values()))
    with pytest.raises(ValueError, match="others can only be 'base'"):
        learn(tiny_suite, others="mean")
    with pytest.raises(ValueError, match="granularity is 'tensor'; it can be 'layer', 'task'"):
        learn(tiny_suite, granularity="tensor")


def test_a_base_that_is_another_network_is_refused(tiny_suite):
    def renamed(state):
        return {f"vision.{name}": tensor for name, tensor in state.items()}
    with pytest.raises(ValueError, match="no network 'tiny', on which tiny runs; they differ in class_embedding, .*more"):
        merge("adamerging", renamed(tiny_suite.base), {task: renamed(e) for task, e in tiny_suite.experts.items()},
              suite=tiny_suite)


def test_an_eta_that_cannot_follow_the_rule_is_asked_for(tiny_suite):
    with pytest.raises(ValueError, match="No matrix inside a block was fine-tuned.*Give eta="):
        learn(tiny_suite, "doge-am", preset="paper", keys="ln_pre")
