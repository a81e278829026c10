"""Does `make zoo` train what is planned, once, and resume? On a tower of one layer and a handful of pictures."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from mergelib.networks import DEVICE
from mergelib.networks import clip as models
from mergelib.networks.clip import build_clip, image_features, normalise_pixels
from mergelib.networks.training import Recipe
from mergelib.suites.store import check_file, pack_clip, read_manifest, write_file, write_manifest
from mergelib.tasks import EIGHT, TASKS
from mergelib.zoo import make, train

RECIPE = Recipe(steps=3, batch=4, lr=1e-3, weight_decay=0.05)


def pictures(task, split):
    """Twenty random pictures, of three classes."""
    draw = np.random.default_rng(sum(task.encode()))
    return draw.integers(256, size=(20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 3


@pytest.fixture
def folder(tmp_path, monkeypatch, one_process):
    """A zoo that holds a base and the heads of two tasks."""
    monkeypatch.setitem(models.TOWERS, "tiny", dict(width=32, layers=1, patch_size=16))
    monkeypatch.setattr(train, "load_pictures", pictures)
    heads = {task: torch.randn(128, 3, generator=torch.Generator().manual_seed(i)) for i, task in enumerate(("signs", "dice"))}
    write_manifest(tmp_path, {
        "base": write_file(tmp_path, "base", pack_clip(build_clip("tiny").state_dict(), torch.arange(5))),
        "heads": write_file(tmp_path, "heads", heads), "experts": {}})
    return tmp_path


def test_the_plan_is_the_eight_and_what_is_asked_for():
    assert list(make.plan("main")) == [f"{task}-s0" for task in EIGHT]
    everything = make.plan("main", ("twelve", "seeds", "mtl", "pcgrad"))
    assert set(everything) == {"mtl-s0", "pcgrad-s0", *(f"{t}-s0" for t in TASKS),
                               *(f"{t}-s{seed}" for t in EIGHT for seed in (1, 2))}
    for name, (tasks, recipe) in everything.items():
        assert name.endswith(f"-s{recipe.seed}") and (name in ("mtl-s0", "pcgrad-s0")) == (tasks == EIGHT)
    joint, single = everything["mtl-s0"][1], everything["signs-s0"][1]
    assert joint.steps * joint.batch == single.steps * single.batch         # as many pictures of each task


def test_a_shipped_base_is_taken_over_and_one_that_is_not_shipped_is_not(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(make, "ZOO", folder.parent)
    shipped, taken = read_manifest(folder), tmp_path / "own"
    assert make.adopt_base(folder.name, taken) and make.adopt_base(folder.name, taken)
    manifest = read_manifest(taken)
    assert (manifest["base"], manifest["heads"], manifest["experts"]) == (shipped["base"], shipped["heads"], {})
    assert all(check_file(taken, manifest[part]).exists() for part in ("base", "heads"))
    assert not make.adopt_base("unknown", tmp_path / "other")
    write_manifest(folder, {**shipped, "shipped": False})
    assert not make.adopt_base(folder.name, tmp_path / "other") and not (tmp_path / "other").exists()


def test_every_tower_has_a_recipe():
    assert set(train.BASES) == set(models.TOWERS) - {"tiny"}


def test_models_are_trained_once_and_anew_for_another_recipe(folder, tmp_path, monkeypatch):
    def finetune(visual, heads, tasks, recipe, checkpoint, surgery):
        trained.append(checkpoint.stem)
        return train.finetune(visual, heads, tasks, recipe, checkpoint, surgery)
    monkeypatch.setattr(make, "finetune", finetune)
    models = {"signs-s0": (("signs",), RECIPE), "mtl-s0": (("signs", "dice"), RECIPE)}
    longer = models | {"signs-s0": (("signs",), replace(RECIPE, steps=5))}
    for wanted, expected in [(models, ["signs-s0", "mtl-s0"]), (models, []), (longer, ["signs-s0"])]:
        trained = []
        make.train_experts("tiny", wanted, folder, tmp_path / "work")
        assert trained == expected
        assert {name: entry["recipe"] for name, entry in read_manifest(folder)["experts"].items()} == {
            name: asdict(recipe) for name, (_, recipe) in wanted.items()}


def test_the_manifest_says_how_long_a_model_took_and_on_what(folder, tmp_path):
    make.train_experts("tiny", {"signs-s0": (("signs",), RECIPE)}, folder, tmp_path / "work")
    entry = read_manifest(folder)["experts"]["signs-s0"]
    assert entry["machine"] == DEVICE and entry["seconds"] >= 0


def test_a_multi_task_model_learns_all_its_tasks(folder, tmp_path):
    heads = {task: torch.randn(128, 3, generator=torch.Generator().manual_seed(i)) for i, task in enumerate(("signs", "dice"))}
    visual, losses = build_clip("tiny").visual, []
    for _ in range(2):
        with torch.no_grad():
            losses.append([cross_entropy(image_features(visual, normalise_pixels(pixels)) @ heads[task],
                                         torch.as_tensor(labels)).item()
                           for task in heads for pixels, labels in [pictures(task, "train")]])
        train.finetune(visual, heads, tuple(heads), replace(RECIPE, steps=40, batch=10, lr=3e-3), tmp_path / "mtl.pt")
    before, after = losses
    assert all(b < a - 0.2 for a, b in zip(before, after))


def without_conflicts(gradients):
    """What PCGrad gives to a weight whose tasks have these gradients (tasks x numbers)."""
    weight = torch.zeros(gradients.shape[1], requires_grad=True)
    loss = train.without_conflicts([(weight * g).sum() for g in gradients], [weight], np.random.default_rng(0))
    loss.backward()
    return weight.grad, loss.item()


def test_gradient_surgery_leaves_gradients_alone_that_do_not_conflict():
    gradients = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    torch.testing.assert_close(without_conflicts(gradients)[0], gradients.mean(dim=0))


def test_gradient_surgery_of_two_that_conflict_by_hand():
    # (1, 0) loses its part along (-1, 1) and becomes (0.5, 0.5); (-1, 1) loses its part along (1, 0) and becomes (0, 1)
    found, loss = without_conflicts(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([0.25, 0.75]))
    assert loss == 0.0


def test_after_gradient_surgery_two_tasks_never_ascend():
    for seed in range(20):
        gradients = torch.randn(2, 6, generator=torch.Generator().manual_seed(seed))
        assert (gradients @ without_conflicts(gradients)[0]).min() > -1e-6


def test_the_model_with_gradient_surgery_is_another_one(folder, tmp_path):
    models = {f"{kind}-s0": (("signs", "dice"), RECIPE) for kind in ("mtl", "pcgrad")}
    make.train_experts("tiny", models, folder, tmp_path / "work")
    plain, surgery = read_manifest(folder)["experts"].values()
    assert plain["recipe"] == surgery["recipe"] and plain["sha256"] != surgery["sha256"]


def marked_pictures(task, split):
    """Pictures that say of which task and class they are: the second and the first value of their first pixel."""
    rng = np.random.default_rng(["signs", "dice"].index(task))
    pixels, labels = rng.integers(256, size=(20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 3
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = labels, ["signs", "dice"].index(task)
    return pixels, labels


def projected_by_hand(visual, heads, images):
    """PCGrad's gradient of two tasks, each one's own from a pass of the whole batch; and the mean loss."""
    marks = ((images[:, :2, 0, 0] / 2 + 1) * 127.5).round().long()
    gradients, losses = [], []
    for i, head in enumerate(heads.values()):
        scores = image_features(visual, images) @ head
        own = marks[:, 1] == i
        losses.append(cross_entropy(scores[own], marks[own, 0]))
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(losses[-1], list(visual.parameters()))]))
    one, other = gradients
    assert one @ other < 0, "there is no conflict, so this shows nothing"
    return ((one - one @ other / (other @ other) * other) + (other - one @ other / (one @ one) * one)) / 2, sum(losses) / 2


def test_surgery_on_one_task_s_pictures_at_a_time_is_that_of_the_whole_batch(folder, monkeypatch, tmp_path):
    def fit(module, loss_of, recipe, checkpoint, title):
        value = loss_of(0, np.random.default_rng(0))
        value.backward()
        found.append((torch.cat([weight.grad.flatten() for weight in module.parameters()]), value))
    found, seen = [], []
    monkeypatch.setattr(train, "load_pictures", marked_pictures)
    monkeypatch.setattr(train, "augment", lambda images, rng: seen.append(images) or images)
    monkeypatch.setattr(train, "fit", fit)
    visual, head = build_clip("tiny").visual, 0.1 * torch.randn(128, 3, generator=torch.Generator().manual_seed(0))
    heads = {"signs": head, "dice": -head}
    train.finetune(visual, heads, ("signs", "dice"), Recipe(1, 6, 1e-3, 0.0), tmp_path / "pcgrad.pt", surgery=True)
    assert sum(len(images) for images in seen) == 12
    expected, loss = projected_by_hand(visual, heads, torch.cat(seen))
    # sums over pictures in another order: a few units in the seventh digit of the largest entries
    torch.testing.assert_close(found[0][0], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert found[0][1].item() == pytest.approx(loss.item(), rel=1e-5)
