"""Does a checkpoint store codes in place of numbers? Its configuration, its names, or the kinds of its tensors tell.

An average of codes is no code of the average, and scales of different checkpoints do not belong to the base's codes. Nothing
but names, shapes and dtypes is looked at.
"""

import re
from pathlib import Path

import torch

from .files import CheckpointError, read_json

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
          "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
STRANGE = {     # what cannot be merged, as far as this torch knows it
    code: getattr(torch, name) for code, name in {
        "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E5M2FNUZ": "float8_e5m2fnuz", "F4": "float4_e2m1fn_x2", "U16": "uint16", "U32": "uint32", "U64": "uint64",
        "C64": "complex64"}.items() if hasattr(torch, name)}
CONFIGS = ("config.json", "quantize_config.json", "quant_config.json", "hf_quant_config.json", "params.json")
ENTRIES = ("quantization_config", "quantization", "compression_config")
NAMES = {       # how the names of a format end -> the format
    r"qweight|qzeros|g_idx": "GPTQ or AWQ",
    r"SCB|weight_format": "bitsandbytes, 8 bit",
    r"absmax|quant_map|nested_absmax|nested_quant_map|quant_state(\..+)?": "bitsandbytes, 4 bit",
    r"weight_packed|weight_zero_point|bitmask|weight_global_scale": "compressed-tensors",
    r"weight_scale_inv|(weight|input)_scale(_2)?": "fp8 or few bits with scales", r"weight_scales": "EETQ",
    r"W_q": "HQQ", r"codebooks|codebook_id": "AQLM or QuIP", r"Qidxs(_\w+)?|(suh|svh)": "QuIP or EXL3",
    r"q_weight|q_scale|q_invperm|q_groups": "EXL2", r".+_blocks|.+_scales": "mxfp4",
    r"weight\._data|weight\._scale": "quanto", r".*(_qdata|int_data|packed_weight|original_weight_tensor\w*)": "torchao",
    r"qscales|.*_quantizer\._amax": "ModelOpt"}
PATTERNS = {re.compile(rf"(^|.*[.:])({ends})$"): form for ends, form in NAMES.items()}
AMID = re.compile(r"(^|.*[.:])(input_scale|.+_scales|.+_blocks|codebooks|W_q|q_\w+)$")      # tell only if there are codes
CODES = {torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint16, torch.uint32}
SPEAKS = re.compile(r"scale|absmax|zero|codebook|centroid|lut|quant", re.I)
COUNTS = re.compile(r"mask|position|index|(^|_)ids?$|coords")      # integers that are what they seem


def refusal(known, path=None):
    """Why a checkpoint cannot be merged as its numbers are stored, in words; "" if it can be.

    `known`: name -> (shape, dtype); `path`: where it lies, if anywhere, for the configuration beside it.
    """
    if form := (configured(path) if path else "") or quantised(known):
        return (f"it is quantised ({form}): it stores codes in place of numbers, and codes cannot be merged. Merge the "
                f"checkpoint that it was quantised from, then quantise the result; or dequantise it and save that first.")
    odd = [name for name, (_, dtype) in known.items() if dtype not in DTYPES.values()]
    if not odd:
        return ""
    dtype = known[odd[0]][1]
    code = next((code for code, other in STRANGE.items() if other == dtype), dtype)
    return (f"{odd[0]} is stored as {code}, which cannot be merged ({dtype}; {len(odd)} such tensors); known are "
            f"{', '.join(DTYPES)}. Convert it first, to bfloat16 for instance.")


def check_numbers(known, what, path=None):
    """Raise CheckpointError, which begins with `what`, if there is a `refusal`."""
    if reason := refusal(known, path):
        raise CheckpointError(f"{what}: {reason}")


def configured(path):
    """What the configuration in a checkpoint's folder says about quantisation; "" if nothing.

    `path`: a folder or a file in it. An adapter of a quantised model is not quantised itself.
    """
    path = Path(path)
    if path.name.startswith("adapter_model"):
        return ""
    folder = path if path.is_dir() else path.parent
    for name in CONFIGS:
        found = read_json(folder / name) if (folder / name).is_file() else None
        if isinstance(found, dict) and (said := _entry(found, whole=name.startswith("quant"))):
            return f"{said} by its {name}; where that is not so, take the entry out"
    return ""


def _entry(config, whole=False):
    """The method in an entry about quantisation, at any depth of a configuration; `whole`: the file is such an entry."""
    waiting, entries = [config], [config] if whole else []
    while waiting:
        for key, value in waiting.pop().items():
            if isinstance(value, dict):
                waiting.append(value)
                entries += [value] if key in ENTRIES else []
    return next((str(_method(entry)) for entry in entries if _counts(entry)), "")


def _method(entry):
    """What an entry calls itself."""
    keys = ("quant_method", "quant_algo", "qformat_weight", "format", "w_bit", "bits")
    return next((f"{entry[key]} bit" if "bit" in key else entry[key] for key in keys if entry.get(key)), "of some kind")


def _counts(entry):
    """Whether an entry is about weights: not an empty one, one that loads nothing in few bits, or one of a cache only."""
    if not entry or entry.get("quant_algo", "") in (None, "NONE") or entry.get("enabled") is False:
        return False
    loads = [entry[key] for key in ("load_in_4bit", "load_in_8bit") if key in entry]
    return any(loads) or not loads


def quantised(known):
    """The format in which tensors hold codes, with an example; "" if none does. `known`: name -> (shape, dtype)."""
    integers = {name for name, (shape, dtype) in known.items() if dtype in CODES and _are_codes(name, shape, dtype)}
    odd = integers | {name for name, (_, dtype) in known.items() if dtype in STRANGE.values() and dtype.itemsize == 1}
    for name in known:
        form = next((form for pattern, form in PATTERNS.items() if pattern.match(name)), "")
        if form and (odd or not AMID.match(name)):
            return f"{form}: {name}"
    beside = {_module(name) for name, (_, dtype) in known.items()
              if dtype.is_floating_point and SPEAKS.search(name.rpartition(".")[2])}
    for name in sorted(odd):
        if known[name][1] in (torch.int8, torch.uint8) and len(known[name][0]) > 1 or beside & {_module(name), name}:
            return f"{str(known[name][1]).removeprefix('torch.')}: {name}"
    return ""


def _are_codes(name, shape, dtype):
    """Whether integers may be codes: no counts such as position_ids, no causal masks as GPT-NeoX keeps them."""
    last = name.rpartition(".")[2]
    square = len(shape) >= 2 and shape[-1] == shape[-2]
    if dtype in (torch.int8, torch.uint8):
        return not (square and ("mask" in last or last == "bias" and len(shape) == 4 and tuple(shape[:2]) == (1, 1)))
    return len(shape) > 0 and not COUNTS.search(last)


def _module(name):
    """The module that a tensor belongs to."""
    return name.rpartition(".")[0]
