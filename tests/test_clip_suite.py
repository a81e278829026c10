"""Does a suite of the papers, from files of the published formats to accuracies, agree with transformers?"""

import json

import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from torch.nn.functional import normalize

pytest.importorskip("datasets", reason="the extra `paper` is not installed")
pytest.importorskip("transformers", reason="the extra `paper` is not installed")

import miniature
from conftest import ImageEncoder
from local_hub import LocalHub

from mergelib import CheckpointError, evaluate, load_suite, merge
from mergelib.checkpoints.families import convert, read_clip
from mergelib.checkpoints.names import clip_to_open_clip
from mergelib.suites import clip
from mergelib.suites.clip.hub import FetchError
from mergelib.tasks import EIGHT as EMBEDDED

EIGHT = list(miniature.tasks())[:8]


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """The eight tasks in miniature, served; and the folder where everything is kept."""
    folder = tmp_path_factory.mktemp("clip")
    with pytest.MonkeyPatch.context() as patch, miniature.fill(LocalHub(), folder, EIGHT).served() as address:
        miniature.patch(patch, address, folder)
        yield folder


@pytest.fixture(scope="module")
def suite(patched):
    return load_suite(8, model="ViT-B-32", device="cpu")


def test_a_suite_has_the_papers_tasks_and_whole_image_towers(suite, patched):
    assert (suite.name, suite.model, suite.family, suite.tasks) == ("clip-8", "ViT-B-32", "B", tuple(EIGHT))
    base, experts = miniature.models()
    assert torch.equal(suite.base["proj"], base.visual_projection.weight.T)
    assert torch.equal(suite.base["conv1.weight"], base.vision_model.embeddings.patch_embedding.weight)
    assert len(suite.digest) == 8 and (patched / "lock.json").exists()
    for task, expert in suite.experts.items():
        assert set(expert) == set(suite.base) and torch.equal(expert["proj"], suite.base["proj"])
        theirs = dict(experts[task].named_parameters())
        name = next(name for name in theirs if name.endswith("layers.1.mlp.fc1.weight"))
        assert torch.equal(expert["transformer.resblocks.1.mlp.c_fc.weight"], theirs[name])


def test_heads_are_those_of_transformers_text_tower(suite):
    scale = miniature.models()[0].logit_scale.exp().item()
    for task in EIGHT:
        assert torch.allclose(suite.heads[task], scale * miniature.head(task), atol=1e-3)       # of numbers up to 14, in fp32
        assert suite.heads[task].shape == (32, len(miniature.tasks()[task].classes))


def test_accuracies_are_those_of_transformers(suite):
    found = evaluate(suite.base, suite).set_index("task")["accuracy"]
    assert found.to_dict() == pytest.approx({task: miniature.accuracy(None, task) for task in EIGHT})
    for task in EIGHT:
        expert = evaluate(suite.experts[task], suite, [task])["accuracy"].item()
        assert expert == pytest.approx(miniature.accuracy(miniature.models()[1][task], task))


def test_pictures_come_by_split_and_the_cache_answers_without_the_data_set(suite, monkeypatch):
    pixels, labels = suite.pictures("SVHN", "test")
    assert pixels.shape == (16, 32, 32, 3) and labels.tolist() == miniature.pictures("SVHN", "test")[1]
    assert [len(suite.pictures("SVHN", split)[1]) for split in ("validation", "train")] == [4, 36]
    assert np.array_equal(suite.pictures("SVHN", "train", 5)[1], suite.pictures("SVHN", "train")[1][:5])
    assert np.array_equal(suite.pictures("SVHN", "test", 5)[0], pixels[[0, 3, 6, 9, 12]])        # perhaps sorted by class
    monkeypatch.setattr(clip.pictures, "_open", None)
    assert np.array_equal(suite.pictures("SVHN", "test")[0], pixels)


def test_corrupted_test_pictures_are_the_data_sets_copies_fetched_when_needed(suite, patched):
    def noted():
        return json.loads((patched / "lock.json").read_text())["datasets/tanganke/gtsrb"]["files"]

    under = suite.under("motion blur 5 cifar")
    assert not any("motion_blur" in name for name in noted())
    (clean, labels), (ours, same) = (each.pictures("GTSRB", "test") for each in (suite, under))
    assert [name for name in noted() if "motion_blur" in name] == ["data/motion_blur-00000-of-00001.parquet"]
    assert np.array_equal(labels, same) and np.abs(ours.astype(int) - (255 - clean.astype(int))).max() <= 1     # by rounding
    assert np.array_equal(under.pictures("GTSRB", "validation")[0], suite.pictures("GTSRB", "validation")[0])
    assert under.under("clean").pictures("GTSRB", "test")[0].tobytes() == clean.tobytes()


def test_corruptions_that_the_data_sets_have_not_are_refused(suite):
    for condition in ("contrast 3 cifar", "contrast 5 imagenet"):
        with pytest.raises(ValueError, match=f"clip-8 have one copy .* severity 5 of 'cifar', and none for '{condition}'"):
            suite.under(condition)
    with pytest.raises(FetchError, match=r"tanganke/dtd has no file like \*contrast\*"):
        suite.under("contrast 5 cifar").pictures("DTD", "test")


def test_tasks_of_the_benchmark_stand_for_the_papers(suite):
    assert suite.named("digits", "landuse") == ("MNIST", "EuroSAT") and suite.named(*EMBEDDED) == suite.tasks


def test_a_second_suite_needs_no_network_and_is_the_same(suite, patched, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = load_suite("clip-8", model="ViT-B-32", device="cpu")
    assert again.digest == suite.digest and all(torch.equal(again.heads[task], suite.heads[task]) for task in EIGHT)


@pytest.mark.filterwarnings("ignore:.*no direction can be shared by all")       # by as many tasks as a tiny tensor has rows
@pytest.mark.parametrize("method, options", [
    ("weight-average", {}), ("ties", {}), ("norm-lambda", {}), ("dare", {}), ("pcb", {}), ("tsv-m", {}), ("iso-c", {}),
    ("iso-cts", {}), ("knots", {}), ("awd-ta", {"awd_steps": 2}), ("wudi", {"steps": 2}), ("consensus-ta", {}),
    ("swudi", {}), ("swudi-a", {}), ("early-cg", {}), ("cart", {}), ("ta-svc", {}), ("tsv-m-svc", {}), ("iso-cts-svc", {}),
    ("doge-ta", {"steps": 2})])
def test_a_projection_without_task_vectors_stays_finite_and_the_bases(suite, method, options):
    merged = merge(method, suite.base, suite.experts, **options)
    assert all(torch.isfinite(tensor).all() for tensor in merged.values())
    assert torch.allclose(merged["proj"], suite.base["proj"], atol=1e-6)


def test_experts_of_family_a_become_a_suite_by_way_of_conversion(suite, save, tmp_path):      # noqa: F811
    files = {}
    for task in EIGHT[:2]:
        whole = CLIP(**miniature.OPEN_CLIP)
        whole.visual.load_state_dict(suite.experts[task])
        files[task] = tmp_path / f"{task}.safetensors"
        convert(save(ImageEncoder(whole), name=f"{task}.pt"), files[task], allow_pickle=True)
    other = clip.with_experts(suite, files, "A")
    assert (other.family, other.tasks) == ("A", tuple(EIGHT[:2])) and other.digest != suite.digest
    for task in other.tasks:
        found = evaluate(other.experts[task], other, [task])["accuracy"].item()
        assert found == pytest.approx(miniature.accuracy(miniature.models()[1][task], task))
    exchanged = clip.with_experts(suite, dict(zip(EIGHT, reversed(files.values()))), "A")
    assert exchanged.digest != other.digest


def test_only_suites_that_exist(suite):
    with pytest.raises(ValueError, match="no suite 'sketch-8' of 'ViT-B-32'. The papers' towers .* have the suites clip-8, "):
        load_suite("sketch-8", model="ViT-B-32")
    with pytest.raises(ValueError, match="no suite 'clip-8' of None. The papers' towers"):
        load_suite("clip-8")


def test_the_published_experts_have_one_seed():
    with pytest.raises(ValueError, match="come from the Hub and have one seed, 0"):
        load_suite(8, model="ViT-B-32", seed=1)


def test_a_base_in_a_torch_file_is_read_too_and_plain_gelu_is_refused(tmp_path):
    state = miniature.models()[0].state_dict()
    torch.save(state, tmp_path / "pytorch_model.bin")
    found = read_clip(tmp_path / "pytorch_model.bin")
    assert all(torch.equal(found[name], tensor) for name, tensor in clip_to_open_clip(state).items())
    (tmp_path / "config.json").write_text('{"vision_config": {"hidden_act": "gelu"}}')
    with pytest.raises(CheckpointError, match="pytorch_model.bin: config.json says that the tower computes gelu"):
        read_clip(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize("lost, said", [("text_projection.weight", "has no text_projection.weight"),
                                        ("text_model.final_layer_norm.bias", "missing: text_model.final_layer_norm.bias"),
                                        ("logit_scale", "missing: logit_scale")])
def test_a_clip_without_its_text_tower_is_refused(lost, said):
    state = {name: tensor for name, tensor in miniature.models()[0].state_dict().items() if name != lost}
    with pytest.raises(CheckpointError, match=said):
        clip_to_open_clip(state)


def test_a_whole_clip_is_translated():
    base = miniature.models()[0]
    ours = CLIP(**miniature.OPEN_CLIP).eval()
    assert ours.load_state_dict(clip_to_open_clip(base.state_dict())).missing_keys == []
    tokens = torch.randint(1, 49000, (3, 77), generator=torch.Generator().manual_seed(0))
    tokens[:, 20] = 49407           # the end of the text
    with torch.no_grad():
        theirs = normalize(base.text_projection(base.text_model(input_ids=tokens).pooler_output), dim=1)
        assert torch.allclose(ours.encode_text(tokens, normalize=True), theirs, atol=1e-5)      # fp32
