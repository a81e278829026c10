"""Does the set-up agree with itself? pyproject.toml, constraints, environment, citation, Makefile and CI."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = SpecifierSet(PROJECT["requires-python"])
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.search(r"^\.PHONY:(.*)$", MAKEFILE, re.M)[1].split()


def make(*arguments):
    """Run make as from a shell: not as the child of the `make test` that may have started this test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def direct_dependencies():
    """Name -> requirement, over the dependencies and all extras."""
    lines = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    requirements = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    del requirements["mergelib"]  # the extra `test` includes `notebooks` by naming the project itself
    return requirements


def pinned_versions():
    """Name -> version, as in constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_environment_leaves_versions_to_pyproject():
    python, pip, section = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert pip == "pip"
    assert section == {"pip": ["-e .[notebooks]"]}
    assert "notebooks" in PROJECT["optional-dependencies"]


def test_constraints_cover_every_direct_dependency_within_its_bounds():
    pinned = pinned_versions()
    for name, requirement in direct_dependencies().items():
        assert requirement.specifier, f"{name} has no lower bound"
        assert pinned[name] in requirement.specifier, f"{name}: {pinned[name]} is not {requirement.specifier}"


def test_ci_runs_every_supported_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    supported = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in PYTHONS]
    assert workflow["jobs"]["ci"]["strategy"]["matrix"]["python"] == supported
    assert all(version in MAKEFILE for version in supported), "the Makefile's message names other versions"


def test_ci_script_is_executable_bash():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


def test_citation_names_the_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    papers = [citation["preferred-citation"], *citation["references"]]
    assert all(paper["authors"] and paper["year"] and paper["url"] for paper in papers)
    titles = " ".join(paper["title"] for paper in papers)
    assert all(word in titles for word in ("Adaptive Projective Gradient Descent", "AdaMerging", "Trust Region"))


def test_make_alone_lists_every_target():
    listed = re.findall(r"^  make (\w+)  +\S", make().stdout, re.M)
    assert listed == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_target_is_well_formed(target):
    result = make("-n", target)
    assert result.returncode == 0, result.stderr


def test_options_reach_the_commands():
    assert "mergelib.reproduce figures --only 05" in make("-n", "figures", "ONLY=05").stdout
    assert "mergelib.zoo --tower main --also seeds" in make("-n", "zoo", "TOWER=main", "ARGS=--also seeds").stdout
    assert " --scale ViT-B-32" in make("-n", "reproduce", "SCALE=ViT-B-32").stdout
    assert "--scale" not in make("-n", "reproduce").stdout
    assert "mergelib.zoo  --also seeds --language" in make("-n", "zoo", "LANGUAGE=1", "ARGS=--also seeds").stdout
    assert "--language text-large" in make("-n", "zoo", "LANGUAGE=text-large").stdout
    assert "not notebooks" not in make("-n", "test").stdout
    assert "not notebooks" in make("-n", "test", "FAST=1").stdout


def test_unsuitable_python_is_refused_in_words(tmp_path):
    result = make("install", "PYTHON=false", f"VENV={tmp_path}/venv")
    assert result.returncode != 0
    assert "mergelib needs Python 3.11, 3.12 or 3.13" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_interrupted_installation_is_repeated_and_a_finished_one_is_not(tmp_path):
    python = tmp_path / "venv/bin/python"  # stands in for a .venv; its pip works once the file `online` is there
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || test -e {tmp_path}/online\n')
    python.chmod(0o755)
    install = ("install", f"VENV={tmp_path}/venv")

    assert make(*install).returncode != 0
    (tmp_path / "online").touch()
    assert "6 GB" in make(*install).stdout
    assert "Nothing to be done" in make(*install).stdout
