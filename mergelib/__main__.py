"""`mergelib` or `python -m mergelib`: merge checkpoints on disk, list the methods, look into a checkpoint."""

import argparse
import ast
import errno
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import torch

from . import METHODS, merge
from .merging.as_adapter import merge_to_adapter
from .merging.plan import known_method
from .merging.preview import inspect, preview
from .workers import cores, one_thread, processes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main(arguments=None):
    """Run a command; returns the exit code: 0, 2 for what a person has to put right, 130 for an interruption."""
    asked = _parser().parse_args(arguments)
    try:
        asked.command(asked)
    except KeyboardInterrupt:
        return _say("Interrupted. The same command goes on where this one stopped; finished shards are kept.", 130)
    except BrokenProcessPool:
        return _say("A worker process ended abruptly, perhaps for want of memory. Give fewer --workers; the same command goes "
                    "on where this one stopped.", 2)
    except ValueError as error:
        return _say(str(error), 2)
    except BrokenPipeError:         # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _say(_about(error, getattr(asked, "out", None)), 2)
    return 0


def _parser():
    """All commands and their arguments."""
    parser = argparse.ArgumentParser(prog="mergelib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="merge | methods | inspect")
    one = commands.add_parser("merge", help="merge experts of one base, tensor by tensor")
    one.add_argument("--base", type=Path, required=True, help="a .safetensors file, or a folder with one or with an index")
    one.add_argument("--expert", type=_expert, required=True, action="append", metavar="[NAME=]DIR",
                     help="a fine-tuned checkpoint or a LoRA adapter; once for each expert")
    one.add_argument("--method", required=True, help="see `mergelib methods`")
    one.add_argument("--out", type=Path, help="folder to write to")
    one.add_argument("--preset", help="a method's named settings")
    one.add_argument("--option", type=_option, action="append", default=[], metavar="NAME=VALUE",
                     help="a method's option, such as lam=0.5; once for each")
    one.add_argument("--dtype", choices=DTYPES, help="of the floating-point tensors that come out (default: the base's)")
    one.add_argument("--shard-size", type=float, default=5, metavar="GB", help="largest file (default: 5)")
    one.add_argument("--workers", type=int, default=cores(), help="processes to spread tensors over (default: %(default)s)")
    one.add_argument("--as-adapter", type=int, metavar="RANK", help="write one LoRA adapter of this rank (experts: adapters)")
    one.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    one.set_defaults(command=_merge)
    listing = commands.add_parser("methods", help="list the methods, or what one of them has to be told")
    listing.add_argument("method", nargs="?")
    listing.set_defaults(command=_methods)
    look = commands.add_parser("inspect", help="say what a checkpoint, an adapter or a merged folder holds")
    look.add_argument("path", type=Path)
    look.set_defaults(command=lambda asked: print(inspect(asked.path)))
    return parser


def _merge(asked):
    """`mergelib merge`."""
    if asked.out is None and not asked.dry_run:
        raise ValueError("Say where to write: --out DIR (or --dry-run to see what would be done).")
    if asked.workers < 1 or asked.shard_size <= 0:
        raise ValueError("--workers must be at least 1 and --shard-size greater than 0.")
    spec = known_method(asked.method)
    if spec.data:
        raise ValueError(f"{spec.title} needs {spec.needs}, which a command line cannot give. Call mergelib.merge from Python.")
    how = {"preset": asked.preset, "out_dtype": DTYPES.get(asked.dtype), "shard_size": asked.shard_size * 1e9,
           "out": asked.out, **dict(asked.option)}
    experts = _named(asked.expert)
    if asked.as_adapter is not None:
        if asked.dry_run or asked.dtype:
            raise ValueError("--as-adapter writes fp32 and has no dry run. Leave out --dtype and --dry-run.")
        print(merge_to_adapter(asked.method, asked.base, experts, asked.as_adapter, asked.out, asked.preset,
                               **dict(asked.option)))
        return
    if asked.dry_run:
        print(preview(asked.method, asked.base, experts, **how))
        return
    with one_thread(), processes(asked.workers) if asked.workers > 1 else nullcontext() as pool:
        print(merge(asked.method, asked.base, experts, executor=pool, **how))


def _methods(asked):
    """`mergelib methods`."""
    if asked.method is None:
        width = max(map(len, METHODS))
        for name, spec in METHODS.items():
            print(f"{name:{width}}  {spec.title} ({spec.paper})" + (f"; needs {spec.needs}" if spec.data else ""))
        return
    spec = known_method(asked.method)
    print(f"{spec.title} ({spec.paper}; {spec.equation}); merges {spec.merges}; needs {spec.needs}")
    for option in spec.declared.values():
        print(f"  --option {option.name}={option.default!r}: {option.says.meaning} ({option.allowed})")
    for name, options in spec.presets.items():
        print(f"  --preset {name}: {', '.join(f'{key}={value!r}' for key, value in options.items()) or 'the options as above'}")


def _expert(text):
    """(name or None, path) of NAME=DIR or DIR."""
    name, sign, path = text.partition("=")
    return (name, Path(path)) if sign and not Path(text).exists() else (None, Path(text))


def _named(experts):
    """Experts as a mapping; those without a name are called after their folder or file, which must tell them apart."""
    named = {name or path.absolute().name.removesuffix(".safetensors"): path for name, path in experts}
    if len(named) < len(experts):
        raise ValueError("Two experts have the same name. Give names: --expert first=DIR --expert second=DIR.")
    return named


def _option(text):
    """(name, value) of name=value; what is no number, list, None, True or False is a string."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} has no '='; write name=value, such as lam=0.5")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _about(error, out):
    """What a person can do about an error of the operating system."""
    where = error.filename or out
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {where} is full. Make room, or give another --out; the same command goes on with what is finished."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission for {where}. Give a folder that you may write to (--out) and files that you may read."
    return f"{where}: {error.strerror or error}"


def _say(message, code):
    """Print a message for people; the exit code."""
    print(f"mergelib: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
