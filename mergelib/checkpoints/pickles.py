"""How are the tensors of a pickled PyTorch module read without running what the file says?

A pickle is a program that names functions and calls them. Here nothing is looked up: whatever a file names becomes an empty
class of ours, whose instances only remember what they were given. A call to anything but what pickled modules need is refused;
calls that are allowed are not made either, they are remembered, and tensors are put together from that afterwards.
"""

import io
import pickle
import warnings
import zipfile

import torch

from .files import CheckpointError, check_there
from .folders import CLONED, RUN

MAGIC = 0x1950A86A20F9469CFC6C      # first object of a torch file older than 1.6
STORAGES = {"DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
            "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
            "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool}
TENSOR, NESTED = "torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes"
PARAMETER = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
CALLS = {TENSOR, NESTED, *PARAMETER, "collections.OrderedDict", "__builtin__.set", "builtins.set",
         "torchvision.transforms.functional.InterpolationMode"}     # the last: an image encoder keeps its preprocessing


class Inert(type):
    """The class of stand-ins; `title` is what the file calls one. Calling it is what a pickle's call comes to."""

    def __call__(cls, *arguments):
        if cls.title not in CALLS:
            raise CheckpointError(f"it asks to call {cls.title}, which tensors do not need. Nothing was run. Do not trust "
                                  f"this file.")
        made = cls.__new__(cls)
        made.arguments = arguments
        return made

    def __setattr__(cls, name, value):
        raise CheckpointError(f"it asks to change {cls.title}, which tensors do not need. Nothing was run. Do not trust this "
                              f"file.")


class Record(dict, metaclass=Inert):
    """A stand-in for an object: entries as in a dict, attributes as stored, `arguments` of the call that would make it."""

    title, arguments = "", ()


class Storage:
    """Where a tensor's numbers lie: `read(key)` gives their bytes."""

    def __init__(self, kind, key, count, read):
        self.dtype, self.key, self.count, self.read = STORAGES[kind.title.removeprefix("torch.")], str(key), count, read

    def flat(self):
        """All numbers, one-dimensional."""
        found = bytearray(self.read(self.key))
        if len(found) != self.count * self.dtype.itemsize:
            raise CheckpointError(f"storage {self.key} has {len(found)} bytes, not {self.count} x {self.dtype.itemsize}.")
        return torch.frombuffer(found, dtype=self.dtype)


class NotPlain(CheckpointError):
    """A pickled file with more than tensors and what holds them."""


class Reader(pickle._Unpickler):
    """Unpickles into records; every name gets a class of its own, new for each file, so that no file can touch the next.

    Python's unpickler in Python: the one in C makes room for as many objects as a file of a few bytes says it has.
    """

    def __init__(self, stream, read):
        super().__init__(stream)
        self.classes, self.storages, self.numbers = {}, {}, read

    def find_class(self, module, name):
        title = f"{module}.{name}"
        return self.classes.setdefault(title, Inert(name, (Record,), {"title": title}))

    def persistent_load(self, saved):
        if saved[0] == "module":            # a class and its source text, in old files
            return saved[1]
        storage = Storage(saved[1], saved[2], saved[4], self.numbers)
        return self.storages.setdefault(storage.key, storage)


def read_pickled_state(file):
    """What a torch file holds besides code: tensors, and mappings, lists and numbers around them. Nothing in it is run.

    Raises CheckpointError for what is damaged, and `NotPlain` for a file that has other objects, which are not looked at.
    """
    check_there(file)
    try:
        if zipped := zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _check_stored(archive)
                if odd := archive.testzip():
                    raise CheckpointError(f"{file} is damaged: the checksum of {odd} is wrong. Fetch it again.")
        with warnings.catch_warnings(action="ignore"):      # that torch may not know the pickle's protocol: then it says so
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
        _check_sizes(found)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        if not zipped and not _begins_as_pickle(file):
            raise CheckpointError(f"{file} is damaged, or no torch file: it does not begin as one. Fetch it again.") from error
        raise NotPlain(f"{file} holds objects that are no tensors. {RUN}, so nothing of it was read. Where you trust it, load "
                       f"it with weights_only=False, take its state_dict(), and write that: {CLONED}.") from error
    except Exception as error:          # the bytes may be anything, and so may be what they raise
        raise CheckpointError(f"{file} is damaged or cut short ({error}). Fetch it again.") from error
    return found


def _begins_as_pickle(file):
    """Whether a file begins as pickles of torch do, with the number of a protocol."""
    with open(file, "rb") as handle:
        return handle.read(1) == b"\x80"


def _check_stored(archive):
    """Raise ValueError for a file that would be larger once it is unpacked, and for a program in place of tensors."""
    if any("/code/" in name for name in archive.namelist()):
        raise ValueError("it is a TorchScript program; where you trust it, save the state_dict() of torch.jit.load")
    if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
        raise ValueError("it is compressed, as torch's files never are")


def _check_sizes(found, depth=8):
    """Raise ValueError for a tensor with more numbers than are stored; torch finds all else that sizes can do."""
    if isinstance(found, torch.Tensor) and found.layout is torch.strided and not found.is_meta:
        if found.numel() * found.itemsize > found.untyped_storage().nbytes():
            raise ValueError(f"it has a tensor of shape {tuple(found.shape)}, but fewer numbers")
    elif isinstance(found, dict | list | tuple) and depth:
        for part in found.values() if isinstance(found, dict) else found:
            _check_sizes(part, depth - 1)


def read_module(file):
    """The parameters and buffers of a pickled `nn.Module`, named as in its state dict, and the class names of its parts.

    `file`: written by torch.save in its zip or its older format, or by pickle itself. Returns (state dict, mapping from the
    path of a submodule to the name of its class). Nothing in the file is run. Raises CheckpointError for what is damaged, is
    no module, or asks for a call that no module needs.
    """
    state, kinds = {}, {}
    try:
        with open(file, "rb") as stream:
            _walk(_unpickle(stream), "", state, kinds)
    except CheckpointError as error:
        raise CheckpointError(f"{file} was refused: {error}") from error
    except Exception as error:          # the bytes may be anything, and so may be what they raise
        raise CheckpointError(f"{file} is damaged, cut short, or no pickled module ({type(error).__name__}: {error}). Fetch "
                              f"it again.") from error
    return state, kinds


def _unpickle(stream):
    """The object in a torch file of either format, or in a plain pickle, as records."""
    if zipfile.is_zipfile(stream):
        return _unzip(zipfile.ZipFile(stream))
    stream.seek(0)
    stored = {}
    found = Reader(stream, stored.__getitem__).load()
    if found != MAGIC:
        return found
    for _ in range(2):                  # torch's version and the writer's machine
        Reader(stream, stored.__getitem__).load()
    reader = Reader(stream, stored.__getitem__)
    found, keys = reader.load(), Reader(stream, stored.__getitem__).load()
    for key in map(str, keys):          # of each storage: how many numbers, and the numbers
        count = int.from_bytes(stream.read(8), "little")
        stored[key] = stream.read(count * reader.storages[key].dtype.itemsize)
    return found


def _unzip(archive):
    """The object in torch's zip format, as records."""
    _check_stored(archive)
    (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = pickled.removesuffix("data.pkl") + "data/"
    return Reader(io.BytesIO(archive.read(pickled)), lambda key: archive.read(folder + key)).load()


def _walk(module, path, state, kinds):
    """Fill in the tensors and the class names of a module's record and of its submodules."""
    if not hasattr(module, "_modules"):
        raise CheckpointError(f"it has {getattr(module, 'title', type(module).__name__)} where a module should be. Nothing "
                              f"was run.")
    kinds[path.removesuffix(".")] = module.title
    tensors = {**module._parameters, **module._buffers}
    state |= {path + name: _tensor(value) for name, value in tensors.items() if value is not None}
    for name, child in module._modules.items():
        if child is not None:
            _walk(child, f"{path}{name}.", state, kinds)


def _tensor(record):
    """The tensor that a record of a call describes."""
    if record.title in PARAMETER:
        return _tensor(record.arguments[0])
    if record.title != TENSOR:
        raise CheckpointError(f"it has {record.title} in place of a tensor. Nothing was run. Convert it where it was written.")
    storage, offset, size, stride = record.arguments[:4]
    if getattr(storage, "title", "") == NESTED:         # plain pickles hold each storage as a torch file of its own
        storage = _unpickle(io.BytesIO(storage.arguments[0]))
    flat = storage.flat()
    tensor = flat.as_strided(size, stride, offset)
    if tensor.numel() > flat.numel():
        raise CheckpointError(f"it has a tensor of shape {tuple(size)}, but fewer numbers.")
    return tensor
