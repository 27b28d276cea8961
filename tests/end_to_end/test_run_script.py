# SPDX-License-Identifier: Apache-2.0
"""`run` and what it sources: usage, missing packages, progress, interruption, odd places."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534


@pytest.fixture
def copied(tmp_path) -> Path:
    """The script and its parts, in a path with spaces, without git, without anything to build."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(0o755)
    place = tmp_path / "a path with  spaces"
    shutil.copytree(ROOT / "tools", place / "tools")
    shutil.copy(ROOT / "run", place / "run")
    return place


def run(place: Path, *words: str, **more) -> subprocess.CompletedProcess:
    environment = {"PATH": more.pop("path", os.environ["PATH"]), "LANG": "C", "HOME": "/nowhere"}
    return subprocess.run(
        [str(place / "run"), *words],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


def bash(place: Path, script: str, **more) -> subprocess.CompletedProcess:
    """Runs a piece of shell with build.sh and packages.sh sourced."""
    prelude = 'set -euo pipefail; root=$1; source "$root/tools/packages.sh" "$root"; '
    prelude += 'source "$root/tools/build.sh"; '
    return subprocess.run(
        ["bash", "-c", prelude + script, "-", str(place)],
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.mark.quick
def test_help_names_every_verb(copied):
    said = run(copied, "help")
    assert said.returncode == 0
    for verb in ("demo", "test", "build", "continuity", "bench", "lint", "lab"):
        assert f"\n  {verb} " in said.stdout


@pytest.mark.quick
@pytest.mark.parametrize(
    "words", [["frobnicate"], ["build", "--json"], ["build", "--quick"], ["demo", "stray"]]
)
def test_wrong_usage_ends_with_2_before_anything_happens(copied, words):
    said = run(copied, *words)
    assert said.returncode == 2
    assert "usage:" in said.stderr
    assert not (copied / "build").exists()


@pytest.mark.quick
def test_missing_packages_that_cannot_be_installed_end_with_77_and_the_command(copied, tmp_path):
    # A machine where nothing is installed, and where we may not install.
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name, text in (("dpkg-query", "exit 1"), ("id", "echo 1000"), ("sudo", "exit 1")):
        (stubs / name).write_text(f"#!/bin/sh\n{text}\n")
        (stubs / name).chmod(0o755)
    said = run(copied, "build", path=f"{stubs}:{os.environ['PATH']}")
    assert said.returncode == 77
    assert "apt-get install --no-install-recommends" in said.stderr
    assert "libdpdk-dev" in said.stderr


@pytest.mark.quick
def test_nothing_is_called_when_every_package_is_there(copied):
    said = bash(copied, "sudo() { exit 9; }; need_packages demo lab; echo offline")
    assert said.stdout == "offline\n"


def test_progress_is_told_without_a_terminal(copied):
    said = bash(copied, "show_progress working bash -c 'echo step 1; sleep 6.5'")
    assert "working: 5 s step 1" in said.stdout
    assert "working: done in" in said.stdout


@pytest.mark.quick
def test_a_failed_command_shows_its_log_and_its_status(copied):
    said = bash(copied, "show_progress working bash -c 'echo the reason; exit 3'")
    assert said.returncode == 3
    assert "the reason" in said.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_no_process(copied, tmp_path, number):
    mark = f"{3000 + os.getpid()}"
    script = 'source "$1/tools/build.sh"; show_progress working bash -c "sleep $2 & sleep $2"'
    shell = subprocess.Popen(
        ["bash", "-c", script, "-", str(copied), mark],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 10
    while len(sleepers(mark)) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    os.killpg(shell.pid, number)
    assert shell.wait(10) == 130
    while sleepers(mark) and time.monotonic() < limit:
        time.sleep(0.02)
    assert sleepers(mark) == []


def sleepers(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if words[:2] == ["sleep", mark]:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_elses_checkout_is_built_elsewhere(copied):
    said = bash(
        copied,
        "build_root",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": "/tmp"},
    )
    assert said.returncode == 0, said.stderr
    place = Path(said.stdout.strip())
    assert place.is_relative_to("/tmp/holdfast-65534")
    shutil.rmtree("/tmp/holdfast-65534")


@pytest.mark.quick
def test_a_tree_made_for_another_place_is_forgotten(copied):
    tree = copied / "build" / "dev"
    tree.mkdir(parents=True)
    cache = tree / "CMakeCache.txt"
    cache.write_text("CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n")
    bash(copied, 'forget_foreign_tree "$root/build/dev"')
    assert not tree.exists()
    tree.mkdir()
    cache.write_text(f"CMAKE_HOME_DIRECTORY:INTERNAL={copied}\n")
    bash(copied, 'forget_foreign_tree "$root/build/dev"')
    assert cache.exists()
