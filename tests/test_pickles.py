"""Does no file get to run anything when it is read?"""

import os
import pickle

import pytest
import torch
from conftest import ImageEncoder, make_clip
from test_families import FORMATS
from torch import nn

from mergelib import CheckpointError
from mergelib.checkpoints.families import read_tower
from mergelib.checkpoints.pickles import read_module


class Call:
    """Unpickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(trace):
    """name -> bytes of a plain pickle that would leave a trace, or try a way around the list of allowed calls."""
    touch = f"touch {trace}".encode()
    system, argument = b"cposix\nsystem\n", b"(S'" + touch + b"'\ntR"
    return {
        "system": pickle.dumps(Call(os.system, touch.decode())),
        "eval": pickle.dumps(Call(eval, f"open({str(trace)!r}, 'w')")),
        "in a list": pickle.dumps([1, {"a": Call(os.system, touch.decode())}]),
        "old instance": b"(S'" + touch + b"'\niposix\nsystem\n.",
        "getattr": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR(S'" + touch + b"'\ntR.",
        "dotted name": b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93(S'" + touch + b"'\ntR.",
        "dotted module": b"ctorch._utils.os\nsystem\n" + argument + b".",
        "named like an allowed one": b"cposix\nsystem\nq\x00(S'title'\nS'collections.OrderedDict'\ntR.",
        "renamed": system + b"(N}S'title'\nS'collections.OrderedDict'\nstb" + argument + b".",
        "as __setstate__": b"ccollections\nOrderedDict\n)R}S'__setstate__'\n" + system + b"sbS'" + touch + b"'\nb.",
        "as append": b"ccollections\nOrderedDict\n)R}S'append'\n" + system + b"sb(S'" + touch + b"'\ne.",
        "new object": b"\x80\x02cposix\nsystem\nU\x01a\x85\x81.",
        "registered": b"\x80\x02\x82\x01.",
        "loads": b"c_pickle\nloads\n(" + pickle.dumps(b"")[:-1] + b"tR.",
        "endless": b"ctorch.nn\nModule\n)\x81}(S'_buffers'\n}S'_modules'\n}S'_parameters'\n}S'weight'\n"
                   b"ctorch._utils\n_rebuild_parameter\n(NtRp0\n}S'arguments'\n(g0\ntsbsub.",
    }


@pytest.mark.parametrize("name", hostile("x"))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, name):
    file = tmp_path / "finetuned.pt"
    file.write_bytes(hostile(tmp_path / "trace")[name])
    harmless = name in ("new object", "registered", "endless")          # nothing of ours would call them
    with pytest.raises(CheckpointError, match="finetuned.pt" if harmless else "was refused: it asks to (call|change)"):
        read_module(file)
    for allowed in (False, True):
        with pytest.raises(CheckpointError):
            read_tower(file, allow_pickle=allowed)
    assert not (tmp_path / "trace").exists()


def test_a_call_hidden_in_the_bytes_of_a_storage_is_refused(tmp_path, save):
    module, bomb = nn.Module(), pickle.dumps(Call(os.system, f"touch {tmp_path / 'trace'}"))
    storage = Call(torch.storage._load_from_bytes, bomb)
    module._parameters["weight"] = Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, {})
    with pytest.raises(CheckpointError, match="asks to call posix.system"):
        read_module(save(module, "plain"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["system", "eval", "in a list", "old instance", "getattr", "dotted name", "as append"])
def test_the_bombs_are_no_duds(tmp_path, name):
    pickle.loads(hostile(tmp_path / "trace")[name])
    assert (tmp_path / "trace").exists()


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("place", ["attribute", "parameter", "child"])
def test_a_call_hidden_in_an_encoder_is_refused_by_name(tmp_path, save, form, place):
    encoder, bomb = ImageEncoder(make_clip()), Call(os.system, f"touch {tmp_path / 'trace'}")
    {"attribute": vars(encoder), "parameter": encoder.model._parameters, "child": encoder.model._modules}[place]["odd"] = bomb
    file = save(encoder, form)
    with pytest.raises(CheckpointError, match="asks to call posix.system.*Nothing was run"):
        read_tower(file, allow_pickle=True)
    with pytest.raises(CheckpointError, match="allow_pickle"):
        read_tower(file)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("size, stride, offset", [((9,), (1,), 0), ((2,), (1,), 3), ((2, 2), (4, 1), 0), ((2,), (-1,), 1)])
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(save, size, stride, offset):
    module = nn.Module()
    storage = torch.ones(4).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    module._parameters["far"] = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, {})
    with pytest.raises(CheckpointError, match="finetuned.pt"):
        read_module(save(module))
