# SPDX-License-Identifier: Apache-2.0
"""What Holdfast's own life costs the traffic: `./run continuity [--json FILE]`.

    continuity.py BINARIES [--json FILE]

Runs the tests that carry the marker `continuity` (tests/end_to_end) and the tests of WITHOUT_TRAFFIC,
and prints one line per figure: what was done to the running system, what was measured, the target.
docs/operations.md says what the promises P1 to P5 are; a line without one is a fault of the machine.
Exit status 0 when every figure meets its target, 77 when this machine can make no namespaces.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support" / "lab"))

from holdfast_lab.figures import Figure, Figures, report  # noqa: E402

LACKS_SOMETHING = 77
LIMIT_SECONDS = 12 * 60


@dataclass(frozen=True)
class Unit:
    """Tests of one program whose failures, all together, are a figure."""

    program: str
    filter: str
    figure: str


WITHOUT_TRAFFIC = (
    Unit("property_tests", "*DamagedStates*", "P4 1000 damaged state files: crashes, flows astray"),
    Unit(
        "control_tests",
        "*AControlThatCrashes*",
        "P3 control crash-looping for ten minutes of virtual time: changes",
    ),
    Unit(
        "control_tests",
        "*OfAThousandDamagedFiles*",
        "P1 1000 damaged configuration files: crashes, partial applies",
    ),
    Unit(
        "control_tests",
        "*AnOlderDataplane*",
        "P3 control upgraded beside a dataplane of the release before: calls that fail",
    ),
    Unit(
        "process_tests",
        "*AControlOfTheReleaseBefore*",
        "P3 dataplane upgraded beside a control of the release before: refused",
    ),
    Unit(
        "control_tests",
        "LargeChangeTest.*",
        "P1 a file that takes over half of the backends or a VIP with flows: done unasked",
    ),
    Unit("control_tests", "*AFlapping*", "P2 a backend flaps for a minute of virtual time: others touched"),
    Unit(
        "process_tests",
        "*TooLittleMemory*:MemoryPlan*",
        "too little memory: starts that fail later than at once",
    ),
    Unit(
        "control_tests",
        "*AClockThatIsSet*",
        "clock set an hour either way: orders ended, probes failed",
    ),
    Unit("pipeline_tests", "Rehash.*", "P4 another worker count: flows lost without being counted"),
)


def measure_unit(unit: Unit, binaries: Path, figures: Figures) -> None:
    """The number of tests that failed; what they recorded stands beside it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.xml")
        done = subprocess.run(
            [
                str(binaries / unit.program), f"--gtest_filter={unit.filter}", "--gtest_brief=1",
                f"--gtest_output=xml:{path}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )  # fmt: skip
        if not path.exists():
            reason = f"ended with {done.returncode}: {done.stdout[-200:]}"
            figures.holds(unit.figure, "broke off", "0", False, reason=reason)
            return
        cases = list(xml.parse(path).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None]
    if failed:
        print(done.stdout)
    recorded = [one for case in cases for one in case.iter("property")]
    said = ", ".join(f"{one.get('value')} {one.get('name')}" for one in recorded)
    if cases:
        figures.at_most(unit.figure, len(failed), 0, reason=said or f"{len(cases)} tests")
    else:
        figures.holds(unit.figure, "no test", "0", False)


def run_marked(binaries: Path, figures_file: Path, *more: str) -> int:
    """The end-to-end tests of continuity, each once. Returns the exit status of pytest."""
    command = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    command += ["-m", "continuity", *more, str(ROOT / "tests" / "end_to_end")]
    environment = {
        **os.environ,
        "HOLDFAST_BINARIES": str(binaries),
        "HOLDFAST_FIGURES": str(figures_file),
    }
    return subprocess.run(command, env=environment).returncode


def read_figures(path: Path) -> list[Figure]:
    """What write_json() wrote."""
    if not path.exists():
        return []
    listed = json.loads(path.read_text())
    return [Figure(passed=one.pop("pass"), **one) for one in listed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    binaries = arguments.binaries.resolve()
    figures, started = Figures(), time.monotonic()
    for unit in WITHOUT_TRAFFIC:
        measure_unit(unit, binaries, figures)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures.json")
        status = run_marked(binaries, path)
        figures.all += read_figures(path)
    figures.all.sort(key=lambda figure: not figure.name.startswith("P"))
    figures.at_most("all of it", time.monotonic() - started, LIMIT_SECONDS, "s")
    figures.holds("tests of continuity", "passed" if status == 0 else "failed", "passed", status == 0)
    missed = report(figures, arguments.json)
    skipped = any(figure.target and figure.passed is None for figure in figures.all)
    return missed or (LACKS_SOMETHING if skipped else 0)


if __name__ == "__main__":
    sys.exit(main())
