"""`mergelib` or `python -m mergelib`: merge checkpoints on disk, list the methods, look into a checkpoint."""

import argparse
import ast
import errno
import json
import os
import sys
import warnings
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch

from . import METHODS, merge
from .merging.arguments import known_method
from .merging.as_adapter import merge_to_adapter
from .merging.preview import contents, inspect, preview, report
from .workers import cores, one_thread, processes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Unwritten(Exception):
    """What there is to say that could not be printed."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments as JSON where that is asked for."""

    def parse_known_args(self, args=None, namespace=None):
        self.as_json = "--json" in (sys.argv if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        if self.as_json:
            sys.exit(_say(message, 2, as_json=True))
        super().error(message)


def main(arguments=None):
    """Run a command; returns the exit code: 0, 2 for what a person has to put right, 130 for an interruption."""
    asked = _parser().parse_args(arguments)
    say = partial(_say, as_json=getattr(asked, "json", False))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(message, 0)
            said = asked.command(asked)
        _show(said)
    except Unwritten as error:      # which is no fault of a checkpoint's disk
        return _say(f"What was asked for is done, but its output could not be written ({error}).", 2)
    except KeyboardInterrupt:
        return say("Interrupted. The same command goes on where this one stopped; finished shards are kept.", 130)
    except BrokenProcessPool:
        return say("A worker process ended abruptly, perhaps for want of memory. Give fewer --workers; the same command goes "
                    "on where this one stopped.", 2)
    except ValueError as error:
        return say(str(error), 2)
    except BrokenPipeError:         # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return say(_about(error, getattr(asked, "out", None)), 2)
    return 0


def _parser():
    """All commands and their arguments."""
    parser = Parser(prog="mergelib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="merge | methods | inspect")
    one = commands.add_parser("merge", help="merge experts of one base, tensor by tensor")
    one.add_argument("--base", type=_path, required=True, help="a .safetensors file, or a folder with one or with an index")
    one.add_argument("--expert", type=_expert, required=True, action="append", metavar="[NAME=]DIR",
                     help="a fine-tuned checkpoint or a LoRA adapter; once for each expert")
    one.add_argument("--method", required=True, help="see `mergelib methods`")
    one.add_argument("--out", type=_path, help="folder to write to")
    one.add_argument("--preset", help="a method's named settings")
    one.add_argument("--option", type=_option, action="append", default=[], metavar="NAME=VALUE",
                     help="a method's option, such as lam=0.5; once for each")
    one.add_argument("--dtype", choices=DTYPES, help="of the floating-point tensors that come out (default: the base's)")
    one.add_argument("--shard-size", type=float, default=5, metavar="GB", help="largest file (default: 5)")
    one.add_argument("--workers", type=int, default=cores(), help="processes to spread tensors over (default: %(default)s)")
    one.add_argument("--as-adapter", type=int, metavar="RANK", help="write one LoRA adapter of this rank (experts: adapters)")
    one.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    one.add_argument("--json", action="store_true", help="say it, and what is wrong, as JSON; without --out a dry run")
    one.set_defaults(command=_merge)
    listing = commands.add_parser("methods", help="list the methods, or what one of them has to be told")
    listing.add_argument("method", nargs="?")
    listing.set_defaults(command=_methods)
    look = commands.add_parser("inspect", help="say what a checkpoint, an adapter or a merged folder holds")
    look.add_argument("path", type=_path)
    look.add_argument("--json", action="store_true", help="say it, and what is wrong, as JSON for scripts")
    look.set_defaults(command=lambda asked: _as_json(contents(asked.path)) if asked.json else inspect(asked.path))
    return parser


def _merge(asked):
    """`mergelib merge`; what there is to say."""
    dry = asked.dry_run or asked.json and asked.out is None
    if asked.out is None and not dry:
        raise ValueError("Say where to write: --out DIR (or --dry-run to see what would be done).")
    if asked.workers < 1 or not asked.shard_size > 0:
        raise ValueError("--workers must be at least 1 and --shard-size greater than 0.")
    spec = known_method(asked.method)
    if spec.data:
        raise ValueError(f"{spec.title} needs {spec.needs}, which a command line cannot give. Call mergelib.merge from Python.")
    how = {"preset": asked.preset, "out_dtype": DTYPES.get(asked.dtype), "shard_size": asked.shard_size * 1e9,
           "out": asked.out, **_options(spec, asked.option)}
    experts = _named(asked.expert)
    if asked.as_adapter is not None:
        if dry or asked.dtype:
            raise ValueError("--as-adapter writes fp32 and has no dry run. Give --out, and neither --dtype nor --dry-run.")
        made = merge_to_adapter(asked.method, asked.base, experts, asked.as_adapter, asked.out, asked.preset,
                                **_options(spec, asked.option))
        return _as_json({"out": str(made.folder), "rank": made.rank, "error": made.error}) if asked.json else made
    if dry and asked.json:
        return _as_json(report(asked.method, asked.base, experts, **how))
    if dry:
        return preview(asked.method, asked.base, experts, **how)
    with one_thread(), processes(asked.workers) if asked.workers > 1 else nullcontext() as pool:
        out = merge(asked.method, asked.base, experts, executor=pool, **how)
        return _as_json({"out": str(out)}) if asked.json else out


def _options(spec, pairs):
    """The values of --option by name. Raises ValueError for a name that is no option of the method, or is given twice."""
    names = [name for name, _ in pairs]
    if unknown := sorted(set(names) - set(spec.declared)):
        raise ValueError(f"{spec.title} has no option {', '.join(unknown)}; it has {', '.join(sorted(spec.declared))}. What "
                         f"`mergelib merge --help` lists is given as --NAME VALUE.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--option {', '.join(twice)} is given more than once. Say which value counts.")
    return dict(pairs)


def _methods(asked):
    """`mergelib methods`; what there is to say."""
    if asked.method is None:
        width = max(map(len, METHODS))
        return "\n".join(f"{name:{width}}  {spec.title} ({spec.paper})" + (f"; needs {spec.needs}" if spec.data else "")
                         for name, spec in METHODS.items())
    spec = known_method(asked.method)
    return "\n".join([
        f"{spec.title} ({spec.paper}; {spec.equation}); merges {spec.merges}; needs {spec.needs}",
        *(f"  --option {option.name}={option.default!r}: {option.says.meaning} ({option.allowed})"
          for option in spec.declared.values()),
        *(f"  --preset {name}: {', '.join(f'{key}={value!r}' for key, value in options.items()) or 'the options as above'}"
          for name, options in spec.presets.items())])


def _path(text):
    """A path; an empty one, as a shell makes of a variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give a path")
    return Path(text)


def _expert(text):
    """(name or None, path) of NAME=DIR or DIR."""
    name, sign, path = text.partition("=")
    named = sign and name and os.sep not in name and not os.path.exists(text)       # else the '=' belongs to a path
    return (name, _path(path)) if named else (None, _path(text))


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
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return name, value


def _about(error, out):
    """What a person can do about an error of the operating system."""
    where = error.filename2 or error.filename or out        # of a copy the second one, which was written
    if error.errno == errno.EFBIG:
        return f"A file in {where} would be larger than the disk or a limit allows. Give a smaller --shard-size."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {where} is full. Make room, or give another --out; the same command goes on with what is finished."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission for {where}. Give a folder that you may write to (--out) and files that you may read."
    return f"{where}: {error.strerror or error}"


def _show(text):
    """Print what there is to say. Raises Unwritten where that is not possible."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())      # else Python tries again when it ends
        raise Unwritten(error.strerror) from error


def _say(message, code, as_json=False):
    """Print a message for people, or as JSON for scripts; the exit code."""
    try:
        if as_json:
            _show(_as_json({"error": message}))
            return code
    except Unwritten:
        pass                # then for people, where they may see it
    print(f"mergelib: {message}", file=sys.stderr)
    return code


def _as_json(told):
    """JSON of several lines; what it has no word for becomes a text."""
    return json.dumps(told, indent=1, default=str)


if __name__ == "__main__":
    sys.exit(main())
