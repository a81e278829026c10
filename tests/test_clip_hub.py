"""Are files fetched once, from the commit that was pinned, into enough room, whole, and does every failure say what to do?"""

import json
import shutil
from types import SimpleNamespace

import pytest
from local_hub import LocalHub, sha256

from mergelib.suites.clip import hub as fetching
from mergelib.suites.clip.hub import FetchError, Source, choose, fetch

MODEL = Source("who/model", "model", ("config.json", "*.safetensors|*.bin"))
DATA = Source("who/data", "dataset", ("*train*.parquet", "*test*.parquet"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with a model and a data set, to which the client goes."""
    from huggingface_hub import constants
    found = LocalHub()
    found.repos = {"models/who/model": {"config.json": b"{}", "model.safetensors": b"s" * 5000, "old.bin": b"b" * 200},
                   "datasets/who/data": {"data/train-0.parquet": b"t" * 300, "data/test-0.parquet": b"u" * 400,
                                         "data/other-0.parquet": b"o" * 1000, "data.py": b"never run"}}
    with found.served() as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(fetching, "LOCK", tmp_path / "lock.json")
        yield found


def files(hub):
    """What of files was asked for, HEAD requests left out."""
    return [(path.split("/")[-1], part) for command, path, part in hub.log if command == "GET" and "resolve" in path]


# --- what is fetched

def test_the_wanted_files_come_with_an_announcement(hub, capsys):
    found = fetch([MODEL, DATA])
    assert {name: path.read_bytes() for name, path in found[MODEL].items()} == {"config.json": b"{}",
                                                                                "model.safetensors": b"s" * 5000}
    assert sorted(found[DATA]) == ["data/test-0.parquet", "data/train-0.parquet"]
    said = capsys.readouterr().out
    assert said.startswith("Fetching 4 files (0.0 GB) of 2 repositories of the Hugging Face Hub into ")
    assert "Ctrl-C is safe" in said


def test_what_is_here_is_not_fetched_again_and_needs_no_network(hub, capsys):
    first = fetch([MODEL])
    hub.log.clear()
    capsys.readouterr()
    assert fetch([MODEL]) == first and hub.log == [] and capsys.readouterr().out == ""


def test_the_commit_is_resolved_once_and_pinned(hub):
    fetch([MODEL])
    pinned = json.loads(fetching.LOCK.read_text())
    assert pinned == {"models/who/model": {"commit": hub.commit("models/who/model"), "files": {
        "config.json": {"bytes": 2, "sha256": None}, "model.safetensors": {"bytes": 5000, "sha256": sha256(b"s" * 5000)}}}}
    fetch([DATA])
    assert json.loads(fetching.LOCK.read_text()) == pinned | {"datasets/who/data": {
        "commit": hub.commit("datasets/who/data"), "files": {
            "data/test-0.parquet": {"bytes": 400, "sha256": sha256(b"u" * 400)},
            "data/train-0.parquet": {"bytes": 300, "sha256": sha256(b"t" * 300)}}}}


def test_what_is_wanted_later_of_a_repository_comes_from_its_pinned_commit(hub):
    other = Source("who/data", "dataset", ("*other*.parquet",))
    first = fetch([DATA])
    assert list(fetch([other])[other]) == ["data/other-0.parquet"] and fetch([DATA]) == first
    assert sorted(json.loads(fetching.LOCK.read_text())["datasets/who/data"]["files"]) == [
        "data/other-0.parquet", "data/test-0.parquet", "data/train-0.parquet"]
    hub.log.clear()
    assert fetch([other, DATA])[DATA] == first[DATA] and hub.log == []


def test_a_repository_that_changed_later_is_not_taken(hub, tmp_path):
    fetch([MODEL])
    hub.repos["models/who/model"]["model.safetensors"] = b"n" * 5000
    assert fetch([MODEL])[MODEL]["model.safetensors"].read_bytes() == b"s" * 5000
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(FetchError, match="pinned commit or this file is gone. Delete the entry models/who/model"):
        fetch([MODEL])


def test_the_first_alternative_that_is_there_is_taken():
    assert choose(MODEL, ["b.bin", "c.safetensors", "config.json"]) == ["c.safetensors", "config.json"]
    assert choose(MODEL, ["b.bin", "config.json"]) == ["b.bin", "config.json"]
    with pytest.raises(FetchError, match="who/model has no file like [*].safetensors.[*].bin; it has config.json. It"):
        choose(MODEL, ["config.json"])


# --- interrupted, damaged, no room

def test_a_broken_connection_is_taken_up_where_it_was(hub, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)      # what the client writes at once
    hub.cut = 3000
    assert fetch([MODEL])[MODEL]["model.safetensors"].read_bytes() == b"s" * 5000
    assert files(hub)[-1] == ("model.safetensors", "bytes=3000-")


def test_an_interrupted_call_keeps_whole_files_and_no_parts(hub, tmp_path):
    hub.cut, hub.falls = 3000, True
    with pytest.raises(FetchError, match=r"could not fetch model.safetensors \(0.00 GB\).* what is here already is not"):
        fetch([MODEL])
    assert not list((tmp_path / "cache").rglob("*.incomplete"))
    hub.down = False
    hub.log.clear()
    assert fetch([MODEL])[MODEL]["model.safetensors"].read_bytes() == b"s" * 5000
    assert files(hub) == [("model.safetensors", None)]


def test_a_damaged_file_is_named_deleted_and_fetched_anew(hub):
    hub.broken.add("model.safetensors")
    with pytest.raises(FetchError, match="who/model: model.safetensors arrived damaged .* was deleted. Call again"):
        fetch([MODEL])
    hub.broken.clear()
    assert fetch([MODEL])[MODEL]["model.safetensors"].read_bytes() == b"s" * 5000


def test_too_small_a_disk_is_seen_before_anything_is_fetched(hub, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: SimpleNamespace(free=fetching.SPARE + 5001))
    with pytest.raises(FetchError, match="To fetch are 2 files .* has 1.0 GB free .* set HF_HOME"):
        fetch([MODEL])
    assert files(hub) == []
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: SimpleNamespace(free=fetching.SPARE + 5002))
    fetch([MODEL])


# --- no network, no such thing

def test_offline_says_what_is_missing_and_how_large_it_is(hub, monkeypatch):
    from huggingface_hub import constants
    fetching.pin([MODEL])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match=r"who/model: could not fetch config.json \(0.00 GB\). There is no network, or"):
        fetch([MODEL])
    with pytest.raises(FetchError, match="who/data: could not fetch its list of files .* There is no network, or"):
        fetch([DATA])


def test_a_hub_that_cannot_be_reached(hub, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")        # nothing listens there
    with pytest.raises(FetchError, match="who/data: could not fetch its list of files .* Call again later"):
        fetch([DATA])


@pytest.mark.parametrize("status, advice", [(403, "ask for consent: give it on https://huggingface.co/who/model, then"),
                                            (500, "Call again later; what is here already is not fetched again")])
def test_a_repository_that_refuses(hub, status, advice):
    hub.status["models/who/model"] = status
    with pytest.raises(FetchError, match=advice):
        fetch([MODEL])


def test_a_repository_that_was_withdrawn(hub):
    with pytest.raises(FetchError, match="no public https://huggingface.co/datasets/who/gone: .* data/clip/tasks.json"):
        fetch([Source("who/gone", "dataset", ("*",))])


def test_a_damaged_lock_file_is_named(hub):
    fetching.LOCK.write_text("{")
    with pytest.raises(FetchError, match="lock.json is damaged .* Restore it with git"):
        fetch([MODEL])
