# SPDX-License-Identifier: Apache-2.0
"""The test runner counts right what ctest and pytest write."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import run_tests  # noqa: E402

REPORT = """\
<testsuite tests="6">
 <testcase name="Parse.Accepts" classname="Parse.Accepts" status="run"><system-out/></testcase>
 <testcase name="Parse.Drops" classname="Parse.Drops" status="fail"><failure message=""/></testcase>
 <testcase name="Net.Needs" classname="Net.Needs" status="notrun">
  <skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
  <system-out>[ RUN ] Net.Needs
/a/b.cc:3: Skipped
no network namespaces here
</system-out></testcase>
 <testcase name="gone_NOT_BUILT" classname="gone" status="notrun">
  <skipped message="Unable to find executable"/></testcase>
 <testcase name="test_x" classname="tests.x"><skipped type="pytest.skip" message="not root"/></testcase>
 <testcase name="test_y" classname="tests.y"><error message="setup"/></testcase>
</testsuite>
"""

pytestmark = pytest.mark.quick


def test_every_case_is_counted_once_and_skips_say_why(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text(REPORT)
    tally = run_tests.Tally()
    tally.read_junit("dev", path)
    assert tally.line() == "1 passed, 3 failed, 2 skipped"
    assert [name.rpartition(": ")[2] for name in tally.skipped] == [
        "no network namespaces here",
        "not root",
    ]


def test_a_report_without_any_case_is_a_failure(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text('<testsuite tests="0"/>')
    tally = run_tests.Tally()
    tally.read_junit("dev", path)
    assert tally.line() == "0 passed, 1 failed, 0 skipped"


def test_figures_have_every_key(tmp_path):
    path = tmp_path / "figures.json"
    run_tests.write_figures(path, run_tests.Tally(passed=3, stages=[("dev", 1.5, 3)]))
    keys = {"name", "value", "unit", "target", "pass", "spread", "baseline", "reason"}
    listed = run_tests.json.loads(path.read_text())
    assert len(listed) == 4
    assert all(set(figure) == keys for figure in listed)
    assert listed[0]["pass"] is True


def test_what_takes_frames_is_fuzzed_longer_and_any_time_can_be_asked_for():
    assert run_tests.fuzz_seconds("parse_fuzz", None) == run_tests.fuzz_seconds("replay_fuzz", None)
    assert run_tests.fuzz_seconds("parse_fuzz", None) == 60
    assert run_tests.fuzz_seconds("config_fuzz", None) == 30
    assert run_tests.fuzz_seconds("config_fuzz", 600) == 600


def test_packet_tests_give_every_packet_fuzzer_seeds(binaries):
    if not (binaries / "pipeline_tests").exists():
        pytest.skip("no packet tests among the binaries")
    tally = run_tests.Tally()
    seeds = run_tests.write_seeds(tally, binaries)
    assert not tally.failed
    assert all(len(list((seeds / name).iterdir())) > 50 for name in run_tests.PACKET_FUZZERS)
    run_tests.shutil.rmtree(seeds)


def put_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put_level(folder: Path, told: str) -> None:
    case = '<testsuite><testcase name="A" classname="B"/></testsuite>'
    write = f"echo '{case}' > \"${{1#--gtest_output=xml:}}\""
    put_program(folder / "pipeline_tests", f'[ "$GTEST_SHARD_INDEX" != 0 ] || {write}')
    put_program(folder / "stories", f"echo '{told}'")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A build tree whose processor has the levels 2 and 3."""
    monkeypatch.setattr(run_tests, "build", lambda *_: True)
    put_program(tmp_path / "processor_levels", "echo x86-64-v2; echo x86-64-v3")
    put_program(tmp_path / "stories", "echo '7 packets'")
    return tmp_path


def test_a_level_that_the_processor_lacks_is_skipped_and_says_why(tree):
    put_level(tree / "levels" / "x86-64-v3", "7 packets")
    put_program(tree / "levels" / "x86-64-v4" / "pipeline_tests", "kill -ILL $$")
    tally = run_tests.Tally()
    run_tests.run_levels(tally, tree)
    assert tally.line() == "2 passed, 0 failed, 1 skipped"
    assert tally.skipped == ["levels: x86-64-v4: this processor lacks it"]


def test_a_level_that_tells_the_stories_otherwise_is_a_failure(tree):
    put_level(tree / "levels" / "x86-64-v2", "8 packets")
    put_level(tree / "levels" / "x86-64-v3", "7 packets")
    tally = run_tests.Tally()
    run_tests.run_levels(tally, tree)
    assert tally.line() == "3 passed, 1 failed, 0 skipped"
    assert tally.failed == [
        "levels: x86-64-v2: stories end otherwise than at the level of the dev build"
    ]


def test_a_story_that_fails_everywhere_is_a_failure(tree):
    put_program(tree / "stories", "echo differs; exit 1")
    put_level(tree / "levels" / "x86-64-v2", "")
    put_program(tree / "levels" / "x86-64-v2" / "stories", "echo differs; exit 1")
    tally = run_tests.Tally()
    run_tests.run_levels(tally, tree)
    assert len(tally.failed) == 1
