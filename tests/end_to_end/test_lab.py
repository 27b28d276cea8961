# SPDX-License-Identifier: Apache-2.0
"""The lab itself: it cleans up after itself, and after a run that was killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast_lab import process, run_record
from holdfast_lab.backends import Backend
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan, Target
from holdfast_lab.topology import Topology, backend_v4, backend_v6

LAB = Path(run_record.__file__).parent.parent
PROGRAM = f"""
import signal, sys
sys.path.insert(0, {str(LAB)!r})
from holdfast_lab import process
from holdfast_lab.backends import Backend
from holdfast_lab.run_record import RunRecord
from holdfast_lab.topology import Topology
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
run = RunRecord.begin()
try:
    run.note("file", "/dev/shm/holdfast-lab-" + run.id)
    open("/dev/shm/holdfast-lab-" + run.id, "w").close()
    Backend(Topology(run, backends=("a",)).build(), "a").start().wait_ready()
    print(run.id, flush=True)
    process.wait_for_a_signal()
finally:
    run.finish()
"""


@pytest.fixture
def other_run():
    """Another program with a lab of its own; yields it and its run's id."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    yield program, program.stdout.readline().strip()
    program.kill()
    program.wait()
    run_record.sweep_killed()


def remains(run: str) -> list[str]:
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    found = [line for line in namespaces.splitlines() if run in line]
    found += [str(pid) for pid in run_record.processes_of(run, [])]
    found += [str(path) for path in Path("/dev/shm").glob(f"*{run}*")]
    return found + [str(path) for path in run_record.base_folder().glob(run)]


@pytest.mark.quick
def test_a_killed_run_is_cleaned_up_by_the_next_and_a_living_one_is_not(lab, other_run):
    program, run = other_run
    run_record.sweep_killed()
    assert remains(run), "a living run is left alone"
    program.kill()
    program.wait()
    assert remains(run)
    run_record.sweep_killed()
    assert remains(run) == []
    assert remains(lab.run.id), "our own run is left alone"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_leaves_nothing(other_run, number):
    program, run = other_run
    program.send_signal(number)
    program.wait(30)
    assert remains(run) == []


def test_the_load_sees_a_killed_backend_and_only_that():
    run = run_record.RunRecord.begin()
    try:
        topology = Topology(run).build()
        servers = {name: Backend(topology, name).start() for name in ("a", "b")}
        for server in servers.values():
            server.wait_ready()
        addresses = {"v4": backend_v4("a"), "v6": backend_v6("b")}
        plan = LoadPlan([Target(name, vip, 7000, 7001, 20, 5) for name, vip in addresses.items()])
        load = MessageLoad(topology, plan)
        everyone = {"v4": {"a": 20}, "v6": {"b": 20}}
        process.wait_until(lambda: load.report()["tcp"]["open"] == everyone, "first answers")
        servers["a"].kill()
        report = load.settle(time.time())
        assert {event[2] for event in report["tcp"]["broken"]} == {"a"}
        assert len(report["tcp"]["broken"]) == 20
        assert report["tcp"]["open"] == {"v6": {"b": 20}}
        assert {event[2] for event in report["udp"]["lost"]} <= {"a", ""}
    finally:
        run.finish()
