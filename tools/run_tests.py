# SPDX-License-Identifier: Apache-2.0
"""Builds and runs every test: `./run test [--quick] [--json FILE] [STAGE...]`.

Stages in order: lint (without clang-tidy), dev (unit, property, packet, process tests), levels (the
pure stages compiled for other processors of this kind), arm64 (cross-compiled, under qemu), asan,
tsan, end-to-end, continuity (the end-to-end tests that are rows of ./run continuity), fuzz, tidy
(clang-tidy over the product, as much of it as the time allows: what is left out is told; ./run lint
does all). With --quick: lint, dev, and the quick half of end-to-end. With --fuzz-seconds N each fuzz
target runs that long: `./run test --fuzz-seconds=600 fuzz` takes 40 minutes. The last line is
"N passed, N failed, N skipped"; before it stands what failed or was skipped, and why.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import lint  # noqa: E402
import tidy  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
STAGES = (
    "lint", "dev", "levels", "arm64", "asan", "tsan", "end-to-end", "continuity", "fuzz", "tidy",
)  # fmt: skip
QUICK_STAGES = ("lint", "dev", "end-to-end")
TIDY_UNTIL = 75 * 60  # seconds after the run's begin; what has begun takes some more
FUZZ_SECONDS = 30  # for one target
PACKET_FUZZ_SECONDS = 60  # for one that takes frames
PACKET_FUZZERS = ("parse_fuzz", "parse_rate_fuzz", "replay_fuzz")
FUZZ_FIGURES = ("stat::number_of_executed_units", "frames parsed")
SANITIZED_SECONDS = 900  # for one program; seconds suffice
SHARDS = 4  # of a program's tests; each has at least so many tests
LEVEL_STORIES = 40  # for each processor level
ARM64_STORIES = 12  # an emulated processor is slow
ARM64_EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")


@dataclass
class Tally:
    """What passed, failed and was skipped, over all stages."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    stages: list[tuple[str, float, int]] = field(default_factory=list)

    def read_junit(self, stage: str, path: Path) -> None:
        """Adds the cases of a JUnit file, as ctest and pytest write it."""
        cases = list(xml.parse(path).getroot().iter("testcase"))
        if not cases:
            self.failed.append(f"{stage}: the report has no test")
        for case in cases:
            name = f"{stage}: {case.get('classname', '')} {case.get('name', '')}"
            failure = case.find("failure")
            failure = failure if failure is not None else case.find("error")
            skip = case.find("skipped")
            if failure is not None or _is_missing(skip):
                self.failed.append(name)
            elif skip is not None:
                self.skipped.append(f"{name}: {_reason(case, skip)}")
            else:
                self.passed += 1

    def line(self) -> str:
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def _is_missing(skip: xml.Element | None) -> bool:
    """ctest calls a test whose program was not built skipped; we do not."""
    return skip is not None and skip.get("message", "").startswith("Unable to find")


def _reason(case: xml.Element, skip: xml.Element) -> str:
    """Why a case was skipped: what GoogleTest printed after "Skipped", else the message."""
    lines = case.findtext("system-out", "").splitlines()
    for number, line in enumerate(lines[:-1]):
        if line.endswith(": Skipped"):
            return lines[number + 1].strip()
    return skip.get("message") or "no reason given"


def build_root() -> Path:
    script = ROOT / "tools" / "build.sh"
    found = subprocess.run(
        ["bash", "-c", 'source "$1" && build_root', "-", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "root": str(ROOT)},
    )
    return Path(found.stdout.strip())


def build(preset: str, *targets: str) -> bool:
    return subprocess.run([str(ROOT / "tools" / "build.sh"), preset, *targets]).returncode == 0


def run_lint(tally: Tally) -> None:
    for outcome in lint.run_checks(lint.checks(None)):
        if outcome.passed:
            tally.passed += 1
        else:
            tally.failed.append(f"lint: {outcome.name}")


def run_tidy(tally: Tally, until: float) -> None:
    passed, findings, left_out = tidy.check(ROOT, tidy.Scope(product_only=True, brief=True), until)
    if passed:
        tally.passed += 1
    else:
        print(findings.rstrip())
        tally.failed.append("tidy: clang-tidy")
    if left_out:
        tally.skipped.append(f"tidy: {left_out} groups of files: this run's time is over")


def run_ctest(tally: Tally, stage: str, preset: str, tree: Path) -> None:
    if not build(preset):
        tally.failed.append(f"{stage}: building")
        return
    report = tree / f"{stage}-junit.xml"
    report.unlink(missing_ok=True)
    jobs = str(os.cpu_count() or 1)
    command = ["ctest", "--test-dir", str(tree), "--output-junit", str(report), "-j", jobs]
    done = subprocess.run([*command, "--output-on-failure", "--progress", "--timeout", "120"])
    if not report.exists():
        tally.failed.append(f"{stage}: ctest wrote no report")
        return
    before = len(tally.failed)
    tally.read_junit(stage, report)
    if done.returncode != 0 and len(tally.failed) == before:
        tally.failed.append(f"{stage}: ctest ended with {done.returncode}")


def run_whole(program: Path, report: Path, emulator: Sequence[str] = ()) -> tuple[int, str]:
    """One test program, all of its tests in one process. Returns its status and its output."""
    try:
        done = subprocess.run(
            [*emulator, str(program), f"--gtest_output=xml:{report}", "--gtest_brief=1"],
            cwd=program.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SANITIZED_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        return -1, f"{late.output or ''}\nnot done after {SANITIZED_SECONDS} s"
    return done.returncode, done.stdout


def run_sanitized(tally: Tally, stage: str, preset: str, tree: Path) -> None:
    """The test programs of a sanitizer's tree, each as few processes: under a sanitizer the start of
    one takes longer than most tests."""
    if not build(preset):
        tally.failed.append(f"{stage}: building")
        return
    programs = sorted(path for path in tree.glob("*_tests") if path.is_file())
    if not programs:
        tally.failed.append(f"{stage}: there is no test program")
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        running = [(program, start_shards(pool, program)) for program in programs]
        for program, shards in running:
            for report, shard in shards:
                count_whole(tally, stage, program, report, *shard.result())


def start_shards(
    pool: ThreadPoolExecutor, program: Path, emulator: Sequence[str] = ()
) -> list[tuple[Path, Future[tuple[int, str]]]]:
    """The tests of one program in some processes: a program may take minutes, and the last one would
    run alone. Returns their reports, and how they end."""
    shards = []
    for number in range(SHARDS):
        report = program.parent / f"{program.name}.{number}.xml"
        report.unlink(missing_ok=True)
        share = (f"GTEST_TOTAL_SHARDS={SHARDS}", f"GTEST_SHARD_INDEX={number}")
        command = ("env", *share, *emulator)
        shards.append((report, pool.submit(run_whole, program, report, command)))
    return shards


def count_whole(
    tally: Tally, stage: str, program: Path, report: Path, status: int, output: str
) -> None:
    print(f"{stage}: {program.name}: exit {status}", flush=True)
    before = len(tally.failed)
    if report.exists():
        tally.read_junit(stage, report)
    if status != 0:
        print(output[-8000:], flush=True)
        if len(tally.failed) == before:
            tally.failed.append(f"{stage}: {program.name} ended with {status}")


def tell_stories(program: Path, count: int, emulator: Sequence[str] = ()) -> tuple[int, str]:
    """What became of the packets of random stories, in one line."""
    command = [*emulator, str(program), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout.strip()


def run_elsewhere(
    tally: Tally, stage: str, folder: Path, told: tuple[int, str], count: int,
    emulator: Sequence[str] = (),
) -> None:  # fmt: skip
    """The packet tests of a build for another processor, and whether it tells the stories alike."""
    program = folder / "pipeline_tests"
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        telling = pool.submit(tell_stories, folder / "stories", count, emulator)
        for report, shard in start_shards(pool, program, emulator):
            count_whole(tally, stage, program, report, *shard.result())
        told_here = telling.result()
    print(f"{stage}: stories: {told_here[1]}", flush=True)
    if told_here == told and told[0] == 0:
        tally.passed += 1
    else:
        print(f"{stage}: expected: {told[1]}", flush=True)
        tally.failed.append(f"{stage}: stories end otherwise than at the level of the dev build")


def run_levels(tally: Tally, tree: Path) -> None:
    if not build("dev", "level_tests"):
        tally.failed.append("levels: building")
        return
    command = [str(tree / "processor_levels")]
    present = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.split()
    told = tell_stories(tree / "stories", LEVEL_STORIES)
    for folder in sorted((tree / "levels").iterdir()):
        if folder.name in present:
            run_elsewhere(tally, f"levels: {folder.name}", folder, told, LEVEL_STORIES)
        else:
            tally.skipped.append(f"levels: {folder.name}: this processor lacks it")


def run_arm64(tally: Tally, trees: Path) -> None:
    if not build("dev", "stories") or not build("arm64", "pipeline_tests", "stories"):
        tally.failed.append("arm64: building")
        return
    told = tell_stories(trees / "dev" / "stories", ARM64_STORIES)
    run_elsewhere(tally, "arm64", trees / "arm64", told, ARM64_STORIES, ARM64_EMULATOR)


def run_end_to_end(tally: Tally, stage: str, selection: str, binaries: Path) -> None:
    if not build("dev"):
        tally.failed.append(f"{stage}: building")
        return
    report = binaries / f"{stage}-junit.xml"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            "/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q",
            "--junitxml", str(report), "--durations=15", "-m", selection,
            str(ROOT / "tests" / "end_to_end"),
        ],
        env={**os.environ, "HOLDFAST_BINARIES": str(binaries)},
    )  # fmt: skip
    if report.exists():
        tally.read_junit(stage, report)
    if not report.exists() or done.returncode not in (0, 1):
        tally.failed.append(f"{stage}: pytest ended with {done.returncode}")


def write_seeds(tally: Tally, tree: Path) -> Path:
    """The frames of all packet tests as inputs of the packet fuzzers, a folder for each."""
    seeds = tree / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    done = subprocess.run(
        [str(tree / "pipeline_tests"), "--gtest_brief=1"],
        env={**os.environ, "HOLDFAST_SEEDS": str(seeds)},
        cwd=tree,
        stdout=subprocess.DEVNULL,
        timeout=SANITIZED_SECONDS,
    )
    counts = {name: len(list((seeds / name).glob("*"))) for name in PACKET_FUZZERS}
    print(f"fuzz: seeds of the packet tests: {counts}", flush=True)
    if done.returncode != 0 or not all(counts.values()):
        tally.failed.append("fuzz: the packet tests gave no seeds")
    return seeds


def fuzz(program: Path, corpora: list[Path], scratch: Path, seconds: int) -> tuple[str, int, str]:
    """One fuzzer for its time. New inputs go to a scratch folder, those of `corpora` stay as they
    are."""
    found = scratch / program.name
    found.mkdir(parents=True, exist_ok=True)
    seeds = [str(folder / program.name) for folder in corpora if (folder / program.name).is_dir()]
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048"]
    done = subprocess.run(
        [str(program), *limits, "-print_final_stats=1", f"-artifact_prefix={found}/", str(found),
         *seeds],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )  # fmt: skip
    return program.name, done.returncode, done.stdout


def fuzz_seconds(name: str, asked: int | None) -> int:
    return asked or (PACKET_FUZZ_SECONDS if name in PACKET_FUZZERS else FUZZ_SECONDS)


def run_fuzz(tally: Tally, tree: Path, asked: int | None) -> None:
    if not build("fuzz"):
        tally.failed.append("fuzz: building")
        return
    programs = sorted(path for path in tree.rglob("*_fuzz") if os.access(path, os.X_OK))
    programs = [path for path in programs if path.is_file()]
    if not programs:
        tally.failed.append("fuzz: there is no fuzz target")
        return
    corpora = [ROOT / "tests" / "fuzz" / "corpus", write_seeds(tally, tree)]
    times = ", ".join(f"{path.name} {fuzz_seconds(path.name, asked)} s" for path in programs)
    print(f"fuzz: two targets at a time: {times}", flush=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = [
            pool.submit(fuzz, one, corpora, tree / "found", fuzz_seconds(one.name, asked))
            for one in programs
        ]
        for future in running:
            name, status, output = future.result()
            runs = [line for line in output.splitlines() if line.startswith(FUZZ_FIGURES)]
            print(f"fuzz: {name}: exit {status} {'; '.join(runs)}", flush=True)
            if status == 0:
                tally.passed += 1
            else:
                print(output[-4000:])
                tally.failed.append(f"fuzz: {name}")


def run_stage(
    stage: str,
    tally: Tally,
    trees: Path,
    quick: bool,
    asked_fuzz_seconds: int | None,
    began: float,
) -> None:
    match stage:
        case "lint":
            run_lint(tally)
        case "dev":
            run_ctest(tally, "dev", "dev", trees / "dev")
        case "levels":
            run_levels(tally, trees / "dev")
        case "arm64":
            run_arm64(tally, trees)
        case "asan":
            # The fuzz tree: the same tests and the fuzzers, under ASan and UBSan, built once.
            run_sanitized(tally, "asan", "fuzz", trees / "fuzz")
        case "tsan":
            run_sanitized(tally, "tsan", "tsan", trees / "tsan")
        case "end-to-end":
            run_end_to_end(tally, stage, "quick" if quick else "not continuity", trees / "dev")
        case "continuity":
            run_end_to_end(tally, stage, "continuity", trees / "dev")
        case "fuzz":
            run_fuzz(tally, trees / "fuzz", asked_fuzz_seconds)
        case "tidy":
            run_tidy(tally, began + TIDY_UNTIL)


def write_figures(path: Path, tally: Tally) -> None:
    empty = {"unit": None, "target": None, "pass": None, "spread": None, "baseline": None}
    figures = [
        {"name": "tests failed", "value": len(tally.failed), **empty, "target": "0"},
        {"name": "tests passed", "value": tally.passed, **empty},
        {"name": "tests skipped", "value": len(tally.skipped), **empty},
    ]
    figures[0]["pass"] = not tally.failed
    for stage, seconds, _ in tally.stages:
        figures.append({"name": f"test stage {stage}", "value": seconds, **empty, "unit": "s"})
    for figure in figures:
        figure["reason"] = None
    figures[2]["reason"] = "; ".join(tally.skipped) or None
    path.write_text(json.dumps(figures, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fuzz-seconds", type=int, metavar="N", help="for each fuzz target")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    arguments = parser.parse_args()
    if unknown := set(arguments.stages) - set(STAGES):
        parser.error(f"unknown stage {', '.join(sorted(unknown))}")
    chosen = arguments.stages or (QUICK_STAGES if arguments.quick else STAGES)
    tally = Tally()
    trees = build_root()
    began = time.monotonic()
    for stage in chosen:
        start, before = time.monotonic(), tally.passed
        print(f"== {stage}, after {start - began:.0f} s", flush=True)
        run_stage(stage, tally, trees, arguments.quick, arguments.fuzz_seconds, began)
        tally.stages.append((stage, time.monotonic() - start, tally.passed - before))
    for name in tally.skipped:
        print(f"skipped: {name}")
    for name in tally.failed:
        print(f"FAILED: {name}")
    for stage, seconds, passed in tally.stages:
        print(f"{stage}: {passed} passed in {seconds:.0f} s")
    if arguments.json:
        write_figures(arguments.json, tally)
    print(tally.line())
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
