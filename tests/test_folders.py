"""Which checkpoint is taken from a folder, and what is said where none or several lie."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from mergelib import CheckpointError, merge
from mergelib.checkpoints.lazy import lazy_state
from mergelib.checkpoints.states import open_state
from mergelib.merging.preview import contents

INDEX = "model.safetensors.index.json"


def put(file, value=0.0, names=("w",)):
    """A .safetensors file whose tensors hold one number."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.full((2, 2), value) for name in names}, file)
    return file


def shards(folder, stem="model", value=0.0, map_of=lambda files: files):
    """Two shards with an index: a in the first, b in the second."""
    files = {name: f"{stem}-0000{i}-of-00002.safetensors" for i, name in enumerate("ab", 1)}
    for name, file in files.items():
        put(folder / file, value, [name])
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": map_of(files)}))
    return folder


def refused(path, *words):
    """The message with which a path is refused; it has these words."""
    with pytest.raises(CheckpointError) as refusal:
        open_state(path)
    assert all(word in str(refusal.value) for word in words), refusal.value
    return str(refusal.value)


# --- what is taken

@pytest.mark.parametrize("beside", ["model.fp16.safetensors", "consolidated.safetensors", "open_clip_model.safetensors",
                                    "model-00001-of-00002.safetensors", "optimizer.bin", "tf_model.h5"])
def test_model_safetensors_comes_first_whatever_lies_beside_it(tmp_path, beside):
    put(tmp_path / beside, 1.0)
    put(tmp_path / "model.safetensors", 2.0)
    assert lazy_state(tmp_path)["w"][0, 0] == 2


def test_one_of_two_indexes_is_the_one_that_transformers_takes_and_each_can_be_given(tmp_path):
    shards(tmp_path, "consolidated", 1.0)
    shards(tmp_path, "model", 2.0)
    assert lazy_state(tmp_path)["a"][0, 0] == 2
    assert lazy_state(tmp_path / "consolidated.safetensors.index.json")["b"][0, 0] == 1
    (tmp_path / INDEX).rename(tmp_path / "other.safetensors.index.json")
    refused(tmp_path, "several checkpoints", "consolidated.safetensors.index.json", "path of one index")


@pytest.mark.parametrize("name", ["model.fp16.safetensors", "diffusion_pytorch_model.safetensors", "anything.safetensors"])
def test_the_only_file_is_taken_under_any_name(tmp_path, name):
    put(tmp_path / name, 3.0)
    assert lazy_state(tmp_path)["w"][0, 0] == 3


def test_an_index_is_a_checkpoint_for_a_merge(tmp_path):
    base, expert = shards(tmp_path / "base") / INDEX, shards(tmp_path / "expert", value=1.0) / INDEX
    assert merge("weight-average", base, str(expert))["b"].tolist() == [[1, 1], [1, 1]]


def test_a_tensor_in_two_shards_is_read_where_the_index_says(tmp_path):
    shards(tmp_path)
    put(tmp_path / "model-00002-of-00002.safetensors", 5.0, "ab")
    assert lazy_state(tmp_path)["a"][0, 0] == 0


def test_a_folder_of_a_pickled_state_dict_is_read_and_a_safetensors_file_beside_it_preferred(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert open_state(tmp_path)["w"].tolist() == [1, 1]
    put(tmp_path / "model.safetensors", 2.0)
    assert open_state(tmp_path)["w"].tolist() == [[2, 2], [2, 2]]


def test_a_snapshot_in_a_cache_of_the_hub_is_read_through_its_links_and_copied_as_files(tmp_path):
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123abc"
    put(blobs / "aa", 1.0)
    (blobs / "bb").write_text("{}")
    snapshot.mkdir(parents=True)
    for name, blob in (("model.safetensors", "aa"), ("config.json", "bb")):
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    out = merge("weight-average", snapshot, put(tmp_path / "e.safetensors", 3.0), out=tmp_path / "out")
    assert open_state(out)["w"][0, 0] == 3 and not any(file.is_symlink() for file in out.iterdir())
    assert (out / "config.json").read_text() == "{}"


# --- what is not

def test_a_note_of_git_lfs_is_told_from_a_damaged_file(tmp_path):
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    refused(tmp_path, "git lfs pull")


@pytest.mark.parametrize("change, words", [
    (lambda files: {**files, "c": files["a"]}, ["in no shard: c"]),
    (lambda files: {"a": files["b"], "b": files["a"]}, ["in another shard: a, b"]),
    (lambda files: {}, ["names no tensors"]), (lambda files: [1], ["no weight_map"]), (lambda files: {"a": 1}, ["names 1"]),
    (lambda files: {"a": "../x.safetensors"}, ["beside it"]), (lambda files: {"a": "/etc/passwd"}, ["beside it"]),
    (lambda files: {"a": "gone.safetensors"}, ["lacks gone.safetensors"]), (lambda files: {"a": "\0.safetensors"}, ["lacks"])])
def test_an_index_that_its_shards_do_not_bear_out_is_refused(tmp_path, change, words):
    refused(shards(tmp_path, map_of=change), *words)


def test_a_tensor_in_two_shards_of_which_the_index_says_nothing_is_refused(tmp_path):
    shards(tmp_path)
    for i, name in enumerate("ab", 1):
        put(tmp_path / f"model-0000{i}-of-00002.safetensors", i, [name, "c"])
    refused(tmp_path, "both hold c")


def test_shards_without_an_index_and_an_index_without_shards_are_told(tmp_path):
    (shards(tmp_path) / INDEX).rename(tmp_path / "kept")
    refused(tmp_path, "index is missing", "model-00001-of-00002.safetensors")
    shard = tmp_path / "model-00001-of-00002.safetensors"
    assert open_state(shard).keys() == {"a"}
    with pytest.raises(CheckpointError, match="one shard of 2.*index"):
        merge("weight-average", shard, [shard])
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    refused(tmp_path, "one shard of 2")
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    (tmp_path / "kept").rename(tmp_path / INDEX)
    refused(tmp_path, "lacks model-00001-of-00002.safetensors, model-00002-of-00002.safetensors")


def test_an_empty_folder_is_called_empty_and_nothing_else(tmp_path):
    assert "Pickled" not in refused(tmp_path, "is empty")
    (tmp_path / "config.json").write_text("{}")
    assert "Pickled" not in refused(tmp_path, "no .safetensors file; it has config.json")


@pytest.mark.parametrize("name, word", [("x.gguf", "GGUF"), ("tf_model.h5", "HDF5"), ("flax_model.msgpack", "Flax"),
                                        ("model.onnx", "ONNX"), ("weights.npz", "NumPy"), ("epoch_3.pt", "epoch_3.pt"),
                                        ("pytorch_model-00001-of-00002.bin", "save_pretrained"),
                                        ("pytorch_model.bin.index.json", "save_pretrained")])
def test_other_formats_are_named_with_the_way_out(tmp_path, name, word):
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path, name, word)
    refused(tmp_path / name, word)


def test_folders_around_checkpoints_name_what_to_give(tmp_path):
    put(tmp_path / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
    put(tmp_path / "pipeline" / "vae" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    refused(tmp_path / "pipeline", "subfolders", "unet, vae")
    put(tmp_path / "models--a--b" / "snapshots" / "0123abc" / "model.safetensors")
    refused(tmp_path / "models--a--b", "snapshots/0123abc")
    put(tmp_path / "run" / "checkpoint-500" / "model.safetensors")
    refused(tmp_path / "run", "checkpoint-500")


def test_an_adapter_beside_a_whole_model_is_refused_and_the_model_can_be_given(tmp_path):
    put(tmp_path / "model.safetensors", 2.0)
    put(tmp_path / "adapter_model.safetensors")
    refused(put(tmp_path / "alone" / "adapter_model.safetensors").parent, "without its adapter_config")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
    refused(tmp_path, "beside an adapter", "model.safetensors")
    assert open_state(tmp_path / "model.safetensors")["w"][0, 0] == 2


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_what_may_not_be_read_is_not_called_gone(tmp_path, monkeypatch):
    file = put(tmp_path / "model.safetensors")
    monkeypatch.setattr(os, "access", lambda path, *_, **__: False)     # root may read everything
    monkeypatch.setattr(os, "supports_effective_ids", {os.access})
    for path in (tmp_path, file):
        assert "gone" not in refused(path, "No permission to read")


@pytest.mark.parametrize("path", ["", "nowhere", "a\0b", "x" * 5000, "\ud800"])
def test_no_path_is_too_odd_to_be_refused(path):
    if path:
        refused(path)
    for what in ({"out": path}, {}):
        with pytest.raises(ValueError):
            merge("weight-average", {"w": torch.ones(2)}, path, **what)


def test_inspect_and_merge_agree_about_a_folder(tmp_path):
    shards(tmp_path, "consolidated", 1.0)
    shards(tmp_path, "model", 2.0)
    assert contents(tmp_path)["tensors"] == 2 and contents(tmp_path)["refused"] == ""
    assert contents(tmp_path / INDEX)["files"] == 2


def test_a_folder_that_is_called_like_a_file_is_none(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="holds no"):
        open_state(tmp_path)


def test_a_part_of_a_model_does_not_hide_the_shards_beside_it(tmp_path):
    shards(tmp_path)
    put(tmp_path / "model.safetensors", names=["a"])
    refused(tmp_path, "two checkpoints", "lacks: b", INDEX)
    assert set(open_state(tmp_path / "model.safetensors")) == {"a"} and set(open_state(tmp_path / INDEX)) == {"a", "b"}


def test_a_checkpoint_without_numbers_is_told():
    with pytest.raises(CheckpointError, match="no floating-point tensor"):
        merge("weight-average", {"w": torch.zeros(0)}, [{"w": torch.zeros(0)}])
