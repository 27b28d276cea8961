# SPDX-License-Identifier: Apache-2.0
"""The installed dataplane becomes the build for this machine's processor."""

import os
import re
import shutil
import subprocess

import pytest

pytestmark = [pytest.mark.plain, pytest.mark.quick]

# Stands for a better build: says who it is and what it was given.
BUILD = """#!/bin/sh
echo "$(basename "$(dirname "$0")") pid $$ arguments $*"
"""


@pytest.fixture
def own_level(binaries) -> str:
    return level_of(run(binaries / "holdfast-dataplane", "--version").stdout)


@pytest.fixture
def better(own_level) -> list[str]:
    """The levels of this processor above that of the program under test."""
    loader = subprocess.run(
        ["/lib64/ld-linux-x86-64.so.2", "--help"], stdout=subprocess.PIPE, text=True
    ).stdout
    if own_level.startswith("x86-64-v3") or "x86-64-v3 (supported" not in loader:
        pytest.skip(f"this processor has nothing above {own_level}")
    return ["x86-64-v3"]


@pytest.fixture
def installed(binaries, tmp_path):
    """The program under test as a package puts it, without any other build."""
    program = tmp_path / "bin" / "holdfast-dataplane"
    program.parent.mkdir()
    shutil.copy(binaries / "holdfast-dataplane", program)
    return program


def run(program, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )


def level_of(version: str) -> str:
    found = re.fullmatch(r"holdfast-dataplane [\d.]+ \(DPDK [\w.-]+, ([\w-]+)\)\n", version)
    assert found, version
    return found[1]


def put_build(installed, level: str) -> None:
    program = installed.parent.parent / "lib" / "holdfast" / level / "holdfast-dataplane"
    program.parent.mkdir(parents=True)
    program.write_text(BUILD)
    program.chmod(0o755)


def test_alone_it_runs_itself(installed, own_level):
    assert level_of(run(installed, "--version").stdout) == own_level


def test_it_becomes_the_better_build_in_the_same_process(installed, better):
    put_build(installed, better[-1])
    started = subprocess.Popen(
        [installed, "--startup", "some file"], stdout=subprocess.PIPE, text=True
    )
    said, _ = started.communicate()
    assert said == f"{better[-1]} pid {started.pid} arguments --startup some file\n"


def test_what_was_asked_for_runs(installed, own_level, better):
    put_build(installed, better[-1])
    asked = run(installed, "--version", HOLDFAST_LEVEL=own_level)
    assert level_of(asked.stdout) == own_level


def test_with_privileges_of_its_file_it_stays_what_it_is(installed, own_level, better):
    put_build(installed, better[-1])
    try:
        os.chown(installed, -1, os.getegid() + 1)
    except OSError as why:
        pytest.skip(f"cannot give a file to another group: {why}")
    installed.chmod(0o2755)
    asked = run(installed, "--version", HOLDFAST_LEVEL=better[-1])
    assert level_of(asked.stdout) == own_level


def test_a_level_that_nobody_has_is_refused(installed):
    refused = run(installed, "--version", HOLDFAST_LEVEL="x86-64-v9")
    assert refused.returncode == 77
    assert "HOLDFAST_LEVEL=x86-64-v9: this processor has no such level" in refused.stderr


def test_a_build_that_is_not_installed_is_refused(installed, better):
    refused = run(installed, "--version", HOLDFAST_LEVEL=better[-1])
    assert refused.returncode == 2
    assert "no build of that level is installed" in refused.stderr
