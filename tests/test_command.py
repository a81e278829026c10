"""The command: what it writes, what it says before, and its words and exit codes when something is wrong."""

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from test_merge import identical
from test_streaming import on_disk  # noqa: F401  (a fixture)

from mergelib import METHODS, __main__, merge
from mergelib.__main__ import main
from mergelib.checkpoints.states import read_state, write_state


@pytest.fixture
def call(tmp_path, on_disk, capsys):  # noqa: F811
    """Run `mergelib merge` on the checkpoints, one worker: (exit code, stdout, stderr)."""
    def run(*more, method="ties", out=tmp_path / "out"):
        base, experts = on_disk
        arguments = ["merge", "--base", base, "--method", method, "--workers", 1, *(("--out", out) if out else ())]
        arguments += [part for path in experts.values() for part in ("--expert", path)]
        code = main([str(argument) for argument in (*arguments, *more)])
        return code, *capsys.readouterr()
    return run


def refused(result, *words):
    """Exit code 2, nothing on stdout, and one message with these words, without a traceback."""
    code, out, message = result
    assert code == 2 and out == "" and message.startswith("mergelib: ") and "Traceback" not in message
    assert all(word in message for word in words), message


# --- what it does

def test_merge_writes_what_merge_gives(tmp_path, call, base, experts):
    code, out, _ = call("--option", "density=0.3", "--option", "combine=sum", "--dtype", "bfloat16", "--shard-size", "2e-6")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n") and (tmp_path / "out" / "model.safetensors.index.json").exists()
    theirs = merge("ties", base, experts, density=0.3, combine="sum", out_dtype=torch.bfloat16)
    assert identical(read_state(tmp_path / "out"), theirs)


def test_the_bits_do_not_depend_on_the_number_of_workers(tmp_path, call):
    for workers in (1, 2):
        assert call("--workers", workers, method="tsv-m", out=tmp_path / str(workers))[0] == 0
    assert (tmp_path / "1" / "model.safetensors").read_bytes() == (tmp_path / "2" / "model.safetensors").read_bytes()


def test_presets_and_names_reach_the_merge(tmp_path, capsys, on_disk, base, experts):  # noqa: F811
    where, files = on_disk
    arguments = ("merge", "--base", where, "--expert", f"one={files['task-0']}", "--expert", files["task-1"],
                 "--method", "doge-ta", "--preset", "code", "--workers", 1, "--out", tmp_path / "out")
    assert main([*map(str, arguments)]) == 0 and main(["inspect", str(tmp_path / "out")]) == 0
    chosen = {"one": experts["task-0"], "task-1": experts["task-1"]}
    assert identical(read_state(tmp_path / "out"), merge("doge-ta", base, chosen, preset="code"))
    assert "from one, task-1" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path, call):
    code, out, _ = call("--dry-run", "--option", "keys=resblocks", "--option", "others=mean")
    assert code == 0 and not (tmp_path / "out").exists()
    for line in ("Ties-Merging (Yadav et al. 2023; Alg. 1), keys='resblocks'", "3 experts (task-0, task-1, task-2)",
                 "merged by Ties-Merging (every tensor): 3 tensors, 7.23 kB", "made by mean: 3 tensors",
                 "kept as the base has them: 1 tensors, 40 B (position_ids)", "in 1 file(s) in ", "are free",
                 "memory: 20.5 kB per worker for transformer.resblocks.0.mlp.c_fc.weight", "time: about "):
        assert line in out


def test_a_dry_run_says_what_is_held_of_the_whole(call):
    assert "PCB-Merging also keeps scores and clamped task vectors" in call("--dry-run", method="pcb")[1]
    everywhere = call("--dry-run", "--option", "inner_product=global", method="doge-ta")
    assert "DOGE TA also keeps every tensor's delta" in everywhere[1]
    assert "also keeps" not in call("--dry-run", method="doge-ta")[1]


def test_methods_are_listed_and_explained(capsys):
    assert main(["methods"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(METHODS)
    assert any("AdaMerging; needs unlabelled test pictures" in line.replace(" (AdaMerging)", "") for line in listed)
    assert main(["methods", "ties"]) == 0
    out = capsys.readouterr().out
    assert "--option density=0.2: fraction of the entries that is kept" in out
    assert "--preset code: combine='sum', lam=0.3" in out


def test_inspect_tells_what_is_there(call, tmp_path, on_disk, capsys):  # noqa: F811
    call("--option", "density=0.3")
    assert main(["inspect", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "7 tensors, 2,005 numbers, 8.04 kB in 1 file(s)" in out and "dtypes: float32 6, int64 1" in out
    assert "merged by ties" in out and "density=0.3" in out and "from task-0, task-1, task-2" in out


def test_python_m_mergelib_is_the_command(tmp_path):
    child = subprocess.run([sys.executable, "-m", "mergelib", "inspect", tmp_path / "x"], capture_output=True, text=True)
    assert child.returncode == 2 and child.stderr.startswith(f"mergelib: {tmp_path}/x does not exist")


# --- what is wrong, in words

def test_unknown_methods_options_and_presets_are_refused(call):
    refused(call(method="tie"), "no method 'tie'", "ties")
    refused(call("--option", "top_k=20"), "no option top_k; it has combine, density")
    refused(call("--preset", "best"), "no preset 'best'; it has paper, code")
    refused(call(method="adamerging"), "needs unlabelled test pictures", "from Python")
    refused(call(method="emr"), "more than one model")
    refused(call("--dry-run", method="emr"), "more than one model")
    refused(call(out=None), "--out DIR")
    refused(call("--workers", "0"), "--workers must be at least 1")


def test_an_option_without_a_value_is_refused(call, capsys):
    with pytest.raises(SystemExit) as end:
        call("--option", "lam")
    assert end.value.code == 2 and "write name=value" in capsys.readouterr().err


def test_two_experts_of_one_name_are_refused(call, on_disk):  # noqa: F811
    refused(call("--expert", on_disk[1]["task-0"]), "Two experts have the same name", "first=DIR")


def test_a_missing_shard_is_named(call, on_disk):  # noqa: F811
    next(on_disk[0].glob("model-00003*")).unlink()
    refused(call(), "base lacks model-00003-of-00004.safetensors")


def test_other_vocabularies_are_explained(tmp_path, capsys):
    for name, rows in (("base", 8), ("a", 10)):
        write_state(tmp_path / name / "model.safetensors", {"lm_head.weight": torch.randn(rows, 4)})
    code = main(["merge", "--base", str(tmp_path / "base"), "--expert", str(tmp_path / "a"), "--method", "ties",
                 "--out", str(tmp_path / "out")])
    refused((code, *capsys.readouterr()), "(10, 4)", "(8, 4)", "the vocabularies differ", "resize_token_embeddings(8)")


def fail_with(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))
    return fail


@pytest.mark.parametrize("when", ["posix_fallocate", "pwrite", "fsync"])
def test_a_full_disk_is_told_and_leaves_nothing(call, tmp_path, monkeypatch, when):
    monkeypatch.setattr(os, when, fail_with(errno.ENOSPC))
    refused(call(), f"The disk of {tmp_path}/out is full", "goes on")
    assert os.listdir(tmp_path / "out") == []


def test_no_permission_is_told(call, monkeypatch, tmp_path):
    monkeypatch.setattr("pathlib.Path.mkdir", fail_with(errno.EACCES))
    refused(call(), f"No permission for {tmp_path}/out", "--out")


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_at_once_with_one_line(tmp_path, on_disk, workers):  # noqa: F811
    base, experts = on_disk
    # torch.optim imports torch._dynamo late, and an interrupt that meets an import can come out of it as another error
    command = "import sys, torch._dynamo; from mergelib.__main__ import main; sys.exit(main())"
    child = subprocess.Popen([sys.executable, "-c", command, "merge", "--base", base, "--expert", experts["task-0"],
                              "--expert", experts["task-1"], "--method", "doge-ta", "--option", "steps=1000000",
                              "--workers", str(workers), "--out", tmp_path / "out"],
                             stderr=subprocess.PIPE, text=True, start_new_session=True,      # in the background a shell
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))       # ignores interrupts
    try:
        while not list(tmp_path.glob("out/.*.part")):
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.05)
        time.sleep(0.5)                             # amid the steps
        os.killpg(child.pid, signal.SIGINT)         # as a terminal sends it, to the workers too
        message = child.communicate(timeout=60)[1]
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 130 and message.count("\n") == 1 and message.startswith("mergelib: Interrupted")
    assert os.listdir(tmp_path / "out") == []


def test_an_interruption_says_that_the_next_call_goes_on(call, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt
    monkeypatch.setattr(__main__, "merge", interrupt)
    code, _, message = call()
    assert code == 130 and "goes on where this one stopped" in message


def test_a_killed_worker_is_told(call, monkeypatch):
    def broken(*_, **__):
        raise BrokenProcessPool
    monkeypatch.setattr(__main__, "merge", broken)
    refused(call(), "ended abruptly", "fewer --workers")


def test_an_empty_path_is_not_the_current_folder(call, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for more in (("--out", ""), ("--base", ""), ("--expert", ""), ("--expert", "name=")):
        with pytest.raises(SystemExit) as ended:
            call(*more)
        assert ended.value.code == 2 and "it is empty" in capsys.readouterr().err
    assert not (tmp_path / "merge.json").exists()


@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"], ["inspect", "nowhere", "--json"]])
def test_output_that_cannot_be_written_is_told_in_a_line(arguments):
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "mergelib", *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2 and "mergelib: " in ended.stderr
    assert "Traceback" not in ended.stderr and "disk of" not in ended.stderr and "Exception ignored" not in ended.stderr


def test_a_full_disk_while_files_are_copied_is_the_one_that_is_written_to(call, on_disk, monkeypatch, tmp_path):  # noqa: F811
    def full(source, target):
        raise OSError(errno.ENOSPC, "full", str(source), None, str(target))

    (on_disk[0] / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("shutil.copyfile", full)
    refused(call(), f"The disk of {tmp_path / 'out'}")


def test_files_that_may_not_be_so_large_are_told_from_full_disks(call, monkeypatch):
    def large(*_):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "posix_fallocate", large)
    refused(call(), "smaller --shard-size")
