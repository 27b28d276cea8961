# SPDX-License-Identifier: Apache-2.0
"""Holdfast between clients and servers, for playing with: `./run lab [COMMAND...]`.

    lab.py BINARIES [COMMAND...]

Builds the story's stage without its load. Without a command it prints how to look around and stays
until Ctrl-C; with one it runs that in the client's namespace and ends with its exit status.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support" / "lab"), str(Path(__file__).parent)]

from holdfast_lab import environment, process, run_record  # noqa: E402
from stage import VIPS, Stage  # noqa: E402
from story import end_in_order  # noqa: E402


def explain(stage: Stage) -> None:
    socket = stage.folder / "control.sock"
    balancer = f"ip netns exec {stage.lab.namespace('balancer')}"
    client = f"ip netns exec {stage.lab.namespace('client')}"
    enter = ""
    if environment.is_inside():
        enter = f"first: nsenter --preserve-credentials -U -m -n -t {os.getpid()}\n"
    holdfast = shlex.quote(str(stage.balancer.binaries / "holdfast"))
    print(
        f"""
{enter}ask it:     {holdfast} status --socket {shlex.quote(str(socket))}
be it:      {balancer} bash
be client:  {client} curl http://{VIPS["web"]}/     (web-dsr: http://{VIPS["web-dsr"]}/)
be backend: ip netns exec {stage.lab.backend("a")} bash
change it:  edit {stage.balancer.file}, then kill -HUP {stage.balancer.pid_of("control")}
end it:     Ctrl-C
""",
        flush=True,
    )


def play(stage: Stage, command: list[str]) -> int:
    stage.set_up(with_load=False)
    if not command:
        explain(stage)
        while True:
            process.wait_for_a_signal()
    path = process.namespace_path(stage.lab.namespace("client"))
    environment_of_command = {
        **os.environ,
        run_record.ID_VARIABLE: stage.run.id,
        "HOLDFAST_LAB_FOLDER": str(stage.folder),
    }
    return subprocess.run(
        command,
        env=environment_of_command,
        preexec_fn=lambda: environment.set_namespace(path),
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_in_order)
    environment.enter(run_record.sweep_killed)
    run = run_record.RunRecord.begin()
    try:
        return play(Stage(run, arguments.binaries.resolve()), arguments.command)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        run.finish()


if __name__ == "__main__":
    sys.exit(main())
