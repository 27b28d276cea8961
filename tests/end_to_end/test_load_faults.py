# SPDX-License-Identifier: Apache-2.0
"""Holdfast under trouble of its machine: signals without end, no disk, no descriptors, no reader."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.balancer import Balancer
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target
from test_survival import wait_answered_again

SERVICES = (NAT, DSR)
SIGNALS_PER_SECOND = 100
STORM_SECONDS = 30
GROWTH_MIB = 5.0


@contextlib.contextmanager
def watched(balancer, measured):
    """Numbered traffic meanwhile, of which nothing may be lost."""
    load = MessageLoad(balancer.lab, LoadPlan([target(NAT), target(DSR)]))
    try:
        load.wait_answered()
        yield load
        wait_answered_again(load)
        report = load.stop()
    finally:
        load.end()
    measured.none(report, "lost", "moved", "broken")


def resident_mib(pid: int) -> float:
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} has no memory")


@pytest.fixture
def balancer(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, SERVICES)) as balancer:
        yield balancer


def with_weight(balancer, weight: int) -> str:
    services = tuple(one.with_weights({"a": weight, "b": 100, "c": 100}) for one in SERVICES)
    return replace(balancer.configuration, services=services).text()


@pytest.mark.continuity("P1 100 SIGHUP a second for 30 s, each with another file")
def test_a_storm_of_reloads_loses_nothing_and_the_last_file_wins(balancer, measured):
    control, dataplane = balancer.pid_of("control"), balancer.pid_of("dataplane")
    before = balancer.status()
    sent, memory = 0, {}
    with watched(balancer, measured):
        start = time.monotonic()
        while (passed := time.monotonic() - start) < STORM_SECONDS:
            if sent > passed * SIGNALS_PER_SECOND:
                time.sleep(0.001)
                continue
            sent += 1
            balancer.write(with_weight(balancer, 50 + sent % 50))
            os.kill(control, signal.SIGHUP)
            if not memory and passed > STORM_SECONDS / 3:
                memory = {pid: resident_mib(pid) for pid in (control, dataplane)}
        last = with_weight(balancer, 42)
        balancer.write(last)
        os.kill(control, signal.SIGHUP)
        process.wait_until(
            lambda: balancer.members()[("web", "a")]["weight"] == 42, "the last file", 10
        )
        grown = {pid: resident_mib(pid) - memory[pid] for pid in memory}
    done = balancer.status()["reloads_applied"] - before["reloads_applied"]
    measured.at_least("signals sent", sent, STORM_SECONDS * SIGNALS_PER_SECOND * 0.9)
    measured.at_most("reloads that they became", done, sent - 1)
    measured.at_most("control grew", grown[control], GROWTH_MIB, "MiB")
    measured.at_most("dataplane grew", grown[dataplane], GROWTH_MIB, "MiB")
    assert (balancer.pid_of("control"), balancer.pid_of("dataplane")) == (control, dataplane)


@pytest.fixture
def balancer_on_a_full_disk(lab, binaries):
    """Its state directories have a file system of their own, which fills()."""
    configuration = new_configuration(lab, SERVICES)
    mounted = []
    for name in ("control", "dataplane"):
        folder = configuration.folder / name
        folder.mkdir(parents=True)
        lab.run.note("mount", str(folder))
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0750", "holdfast-test", str(folder)],
            check=True,
        )
        mounted.append(folder)
    try:
        with running_balancer(lab, binaries, configuration) as balancer:
            yield balancer
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with open(folder / "filler", "wb", buffering=0) as filler:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while filler.write(bytes(size)):
                    pass


@pytest.mark.continuity("disk full")
def test_a_full_disk_stops_neither_forwarding_nor_orders_nor_reloads(
    balancer_on_a_full_disk, measured
):
    balancer = balancer_on_a_full_disk
    with watched(balancer, measured):
        for name in ("control", "dataplane"):
            fill(balancer.configuration.folder / name)
        drained = balancer.cli("drain", "web/a")
        assert drained.status == 1, "it acts, and says that it is not written down"
        balancer.wait_member("web", "a", "disposition", "keep")
        balancer.write(with_weight(balancer, 50))
        balancer.reload_by_signal()
        measured.at_most(
            "weight in force after a reload", balancer.members()[("web", "a")]["weight"], 50
        )
        notices = [one for one in balancer.status()["notices"] if "No space left" in one]
        measured.at_least("notices that say so", len(notices), 1, reason="; ".join(notices)[:120])
        for name in ("control", "dataplane"):
            (balancer.configuration.folder / name / "filler").unlink()
        assert balancer.cli("undrain", "web/a").status == 0


@pytest.mark.continuity("log pipe blocked")
def test_a_log_that_nobody_reads_stops_nothing(lab, binaries, measured):
    balancer = Balancer(lab, binaries, new_configuration(lab, SERVICES))
    os.mkfifo(balancer.log)
    unread = os.open(balancer.log, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(unread, fcntl.F_SETPIPE_SZ, 4096)
    balancer.start()
    try:
        balancer.wait_ready()
        with watched(balancer, measured):
            for _ in range(40):
                assert balancer.cli("drain", "web/a").status == 0
                assert balancer.cli("undrain", "web/a").status == 0
            balancer.write("services: [\n")
            assert balancer.reload_by_signal()["last_reload"]["result"] == "refused"
            balancer.write(with_weight(balancer, 50))
            assert balancer.reload_by_signal()["last_reload"]["result"] == "applied"
            measured.at_least(
                "log lines dropped and counted", balancer.status()["log_lines_dropped"], 1
            )
    finally:
        os.close(unread)
        balancer.stop()


@contextlib.contextmanager
def without_descriptors(pid: int):
    """No further descriptor for this process."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc", str(pid), "fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@pytest.mark.continuity("descriptors exhausted")
def test_processes_without_descriptors_forward_on_and_take_no_backend_down(balancer, measured):
    before = balancer.members()
    with watched(balancer, measured) as load:
        with contextlib.ExitStack() as stack:
            for name in ("control", "dataplane"):
                stack.enter_context(without_descriptors(balancer.pid_of(name)))
            for _ in range(3):
                wait_answered_again(load)  # some intervals of every probe
                time.sleep(1)
        process.wait_until(lambda: balancer.cli("status").status == 0, "control to answer")
        after = balancer.members()
        changed = sum(before[one]["changes"] != after[one]["changes"] for one in before)
        measured.at_most("backends whose state changed", changed, 0)
