"""Is the zoo what was trained, and whole? Storage, its faults, and the suites read from it."""

from pathlib import Path

import pytest
import torch

from mergelib import CheckpointError, load_suite, merge
from mergelib.suites.store import (
    dequantise,
    pack_clip,
    quantise,
    read_file,
    read_manifest,
    unpack_clip,
    write_file,
    write_manifest,
)
from mergelib.tasks import EIGHT

SHAPES = {"conv1.weight": (8, 3, 2, 2), "proj": (6, 5), "ln.bias": (7,)}


def random_state(seed, size=1.0):
    draw = torch.Generator().manual_seed(seed)
    return {name: size * torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}


def moved(base, seed, size=0.01):
    return {name: base[name] + step for name, step in random_state(seed, size).items()}


def flip(file):
    """Flip the highest bit of the byte in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x80
    file.write_bytes(content)


def cut(file):
    """Keep the first half only."""
    content = file.read_bytes()
    file.write_bytes(content[:len(content) // 2])


# --- storage

@pytest.mark.parametrize("outlier", [1.0, 1e4])
def test_quantised_matrices_come_back_within_half_a_step_per_row(outlier):
    base = random_state(0)
    expert = moved(base, 1)
    expert["proj"][2] = base["proj"][2] + torch.tensor([1e-6, -3e-7, 0, 0, 0])       # a row much smaller than its matrix
    expert["conv1.weight"][1, 0, 0, 0] += 1e-2 * outlier
    back = dequantise(base, quantise(base, expert))
    for name in ("conv1.weight", "proj"):
        tau = (expert[name] - base[name]).flatten(1)
        rounding = 2 * torch.finfo(torch.float32).eps * expert[name].abs().max()       # of base + tau in fp32, at most
        for row, wrong in zip(tau, (back[name] - expert[name]).flatten(1).abs()):
            assert (wrong <= 0.5001 * max(row.square().mean().sqrt() / 12, row.abs().max() / 127) + rounding).all()


def test_vectors_and_untouched_rows_come_back_exactly():
    base = {"w": torch.ones(2, 3), "b": torch.arange(4.0)}
    expert = {"w": torch.tensor([[1.0, 1, 1], [1.5, 1, 0.5]]), "b": torch.arange(4.0) + 2**-12}
    back = dequantise(base, quantise(base, expert))
    assert torch.equal(back["b"], expert["b"]) and torch.equal(back["w"][0], expert["w"][0])


def test_matrices_of_a_task_vector_take_less_than_a_byte_per_number():
    draw = torch.Generator().manual_seed(0)
    base, expert = ({"w": torch.randn(224, 896, generator=draw)} for _ in range(2))
    packed = quantise(base, expert)
    assert packed["w"].dtype == torch.uint8 and packed["w"].numel() < 0.8 * base["w"].numel()


def test_what_is_written_is_read(tmp_path):
    state = random_state(0)
    entry = write_file(tmp_path, "expert", state, seed=3)
    back = read_file(tmp_path, entry)
    assert entry["seed"] == 3 and entry["bytes"] == (tmp_path / entry["file"]).stat().st_size
    assert all(torch.equal(back[name], state[name]) for name in SHAPES)
    write_manifest(tmp_path, {"experts": {"expert": entry}})
    assert read_manifest(tmp_path)["experts"] == {"expert": entry}


def test_a_manifest_that_is_killed_while_written_leaves_the_old_one(tmp_path, monkeypatch):
    def killed(file, text):
        file.write_bytes(text[:len(text) // 2].encode())
        raise KeyboardInterrupt
    write_manifest(tmp_path, {"tower": "old"})
    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_manifest(tmp_path, {"tower": "new"})
    assert read_manifest(tmp_path)["tower"] == "old"


# --- suites

@pytest.fixture
def zoo(tmp_path):
    """A folder as `make zoo` leaves it, with tensors of a few numbers."""
    base = {name: tensor.half() for name, tensor in random_state(0).items()}
    visual = {name: tensor.float() for name, tensor in base.items()}
    text = {"text.weight": torch.ones(2, dtype=torch.float16)}
    experts = {f"{task}-s0": write_file(tmp_path, f"{task}-s0", quantise(visual, moved(visual, seed)))
               for seed, task in enumerate(EIGHT, 1)}
    write_manifest(tmp_path, {
        "base": write_file(tmp_path, "base", {f"visual.{name}": tensor for name, tensor in base.items()} | text),
        "heads": write_file(tmp_path, "heads", {task: torch.eye(5) for task in EIGHT}), "experts": experts})
    return tmp_path


def test_a_suite_is_the_image_tower_and_its_experts(zoo):
    suite = load_suite("sketch-8", folder=zoo)
    assert suite.tasks == EIGHT and set(suite.heads) == set(EIGHT)
    assert {name: tensor.dtype for name, tensor in suite.base.items()} == dict.fromkeys(SHAPES, torch.float32)
    for seed, task in enumerate(EIGHT, 1):
        expected = moved(suite.base, seed)
        for name in SHAPES:       # steps of a row are its largest entry / 127: at most 0.05 / 127 here
            torch.testing.assert_close(suite.experts[task][name], expected[name], rtol=0, atol=1e-3)      # half a step
    part = suite.subset(["signs", "scenes"])
    assert part.tasks == ("scenes", "signs") and part.experts["signs"] is suite.experts["signs"]


def test_the_model_of_all_tasks_is_there_if_it_was_trained(zoo):
    before = load_suite("sketch-8", folder=zoo)
    manifest = read_manifest(zoo)
    manifest["experts"]["mtl-s0"] = write_file(zoo, "mtl-s0", quantise(before.base, moved(before.base, 50)))
    write_manifest(zoo, manifest)
    after = load_suite("sketch-8", folder=zoo)
    assert before.joint == {} and before.digest == after.digest
    torch.testing.assert_close(after.joint["mtl"]["proj"], moved(before.base, 50)["proj"], rtol=0, atol=1e-3)      # half a step


def test_a_model_that_is_not_shipped_has_a_name_and_no_weights(zoo):
    manifest = read_manifest(zoo)
    manifest["experts"]["pcgrad-s0"] = {"file": "pcgrad-s0.safetensors", "sha256": "0" * 64, "shipped": False}
    write_manifest(zoo, manifest)
    assert load_suite("sketch-8", folder=zoo).joint == {"pcgrad": {}}


def test_a_tower_that_is_not_shipped_gives_a_suite_without_weights(zoo):
    whole = load_suite("sketch-8", folder=zoo)
    write_manifest(zoo, {**read_manifest(zoo), "shipped": False})
    for file in zoo.glob("*.safetensors"):
        file.unlink()
    bare = load_suite("sketch-8", folder=zoo)
    assert (bare.digest, bare.tasks, bare.base, bare.joint) == (whole.digest, whole.tasks, {}, {})
    with pytest.raises(CheckpointError, match="The base has no tensors"):
        merge("weight-average", bare.base, bare.experts)
    write_manifest(zoo, {**read_manifest(zoo), "experts": read_manifest(zoo)["experts"] | {"mtl-s0": {}}})
    assert load_suite("sketch-8", folder=zoo).joint == {"mtl": {}}


def test_the_digest_stands_for_the_numbers(zoo):
    before = load_suite("sketch-8", folder=zoo)
    assert load_suite("sketch-8", folder=zoo).digest == before.digest
    manifest = read_manifest(zoo)
    manifest["experts"]["signs-s0"] = write_file(zoo, "signs-s0", quantise(before.base, moved(before.base, 99)))
    write_manifest(zoo, manifest)
    assert load_suite("sketch-8", folder=zoo).digest != before.digest


@pytest.mark.parametrize("fault", [flip, cut, Path.unlink])
@pytest.mark.parametrize("name", ["base.safetensors", "heads.safetensors", "signs-s0.safetensors", "manifest.json"])
def test_a_damaged_zoo_is_refused_with_the_file_and_the_repair(zoo, name, fault):
    fault(zoo / name)
    with pytest.raises(CheckpointError) as error:
        load_suite("sketch-8", folder=zoo)
    assert str(zoo / name) in str(error.value)
    assert f"git checkout -- {zoo}" in str(error.value) and "make zoo" in str(error.value)


def test_another_layout_version_is_refused(zoo):
    file = zoo / "manifest.json"
    file.write_text(file.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(CheckpointError, match="layout version 3, this mergelib reads 2.*make zoo"):
        load_suite("sketch-8", folder=zoo)


def test_what_the_zoo_lacks_is_named(zoo):
    with pytest.raises(ValueError, match="no suite 'imagenet'.*sketch-8, sketch-20"):
        load_suite("imagenet", folder=zoo)
    with pytest.raises(CheckpointError, match="no expert letters-s0, .*words-s0.*make zoo"):
        load_suite("sketch-20", folder=zoo)
    with pytest.raises(CheckpointError, match="no expert scenes-s1"):
        load_suite("sketch-8", seed=1, folder=zoo)


def test_the_environment_can_name_another_zoo(zoo, monkeypatch):
    monkeypatch.setenv("MERGELIB_ZOO", str(zoo.parent))
    assert load_suite("sketch-8", model=zoo.name).tasks == EIGHT


def test_a_clip_comes_back_without_the_words_it_never_saw():
    table = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)).half()
    state = {"token_embedding.weight": table.float(), "visual.proj": torch.ones(2, 2)}
    back = unpack_clip(pack_clip(state, torch.tensor([1, 4, 8])), vocabulary=9)
    kept = torch.zeros(9, 1).index_fill(0, torch.tensor([1, 4, 8]), 1)
    assert torch.equal(back["token_embedding.weight"], table.float() * kept)
    assert torch.equal(back["visual.proj"], state["visual.proj"])
