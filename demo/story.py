# SPDX-License-Identifier: Apache-2.0
"""The demo's story: `./run demo`. One machine, real clients, three real backends, one failover.

    story.py BINARIES [--json FILE]

Two services over the same three backends, `web` in mode nat and `web-dsr` in mode dsr, under new
connections (wrk), long-lived numbered TCP connections and a paced UDP echo. Each step prints what
was measured; the table at the end judges it. Exit status 0 when every figure meets its target.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support" / "lab"), str(Path(__file__).parent)]

from holdfast_lab import environment, figures, run_record  # noqa: E402
from stage import Stage  # noqa: E402
import steps  # noqa: E402

STORY_LIMIT_SECONDS = 90


def end_in_order(number: int, _frame) -> None:
    raise SystemExit(128 + number)


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def tell(stage: Stage) -> None:
    for number, (title, step) in enumerate(steps.STORY, 1):
        print(f"\n{number}. {title}", flush=True)
        before = len(stage.figures.all)
        step(stage)
        for figure in stage.figures.all[before:]:
            print("   " + figures.sentence(figure), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=Path)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_in_order)
    environment.enter(run_record.sweep_killed)
    start = time.monotonic()
    run = run_record.RunRecord.begin()
    stage = None
    try:
        stage = Stage(run, arguments.binaries.resolve())
        stage.set_up()
        tell(stage)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"the story broke off: {error}", file=sys.stderr)
        if stage is not None:
            stage.figures.holds(
                "the story was told to its end", "no", "yes", False, reason=first_line(error)
            )
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if stage is not None:
            stage.keep_logs()
        run.finish()
    told = stage.figures if stage is not None else figures.Figures()
    told.at_most("the story", time.monotonic() - start, STORY_LIMIT_SECONDS, "s")
    print()
    return figures.report(told, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
