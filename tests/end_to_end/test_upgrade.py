# SPDX-License-Identifier: Apache-2.0
"""Upgrades: control by a restart, the dataplane by `holdfast upgrade`, or not at all."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import DSR, NAT, new_configuration
from holdfast_lab import process
from holdfast_lab.balancer import Balancer
from holdfast_lab.loads import MessageLoad, loss_window_ms
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target
from test_survival import (
    ADOPTED_MS,
    FORWARDING_MS,
    end,
    wait_adopted,
    wait_answered_again,
    wait_new,
)

FLOWS = 500  # of a kind, in each of two modes
HANDOVER_MS = 200  # on shared ports
TAKE_OVER_LIMIT_MS = 3000  # that a successor has; then it is ended

# Says that it is prepared (dataplane/process/handover_channel.cc has the messages), and when the
# dataplane has stopped for it, does nothing more.
SUCCESSOR = """
import os, pathlib, signal, socket, struct, sys
startup, folder, fails = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
digest = 0xcbf29ce484222325
for byte in startup.read_bytes():
    digest = (digest ^ byte) * 0x100000001b3 % 2**64
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(str(next(folder.rglob("*.sock.next"))))
wire = struct.Struct("<QIIQ1024s")
def say(step):
    peer.send(wire.pack(0x31564f4846444c48, step, 0, digest, b""))
def hear(step):
    heard = wire.unpack(socket.recv_fds(peer, wire.size, 16)[0])
    assert heard[1] == step, heard
say(1)
hear(2)
say(3)
hear(4)
if fails == "hangs":
    signal.pause()
"""


@pytest.fixture
def balancer(lab, binaries):
    """Holdfast whose programs may be replaced."""
    configuration = new_configuration(lab, (NAT, DSR))
    place = configuration.folder / "bin"
    place.mkdir(parents=True)
    for name in ("holdfast", "holdfast-dataplane"):
        shutil.copy(binaries / name, place)
    balancer = Balancer(lab, place, configuration).start()
    try:
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


@pytest.fixture
def load(lab, balancer):
    pace = {"messages_per_second": 2.0, "datagrams_per_second": 2.0}
    load = MessageLoad(lab, LoadPlan([target(one, FLOWS, FLOWS) for one in (NAT, DSR)], **pace))
    load.wait_answered(30)
    yield load
    load.end()


def put_program(balancer, script: str):
    """A dataplane that rehearses like the real one, then does something else."""
    program = balancer.configuration.folder / "fresh-dataplane"
    real = balancer.binaries / "holdfast-dataplane"
    program.write_text(f'#!/bin/sh\ncase "$*" in *--rehearse*) {script}\n')
    program.write_text(program.read_text().replace("REAL", str(real)))
    program.chmod(0o755)
    return program


def wait_gone(pid: int) -> None:
    process.wait_until(lambda: not Path("/proc", str(pid)).exists(), f"process {pid} to end")


def upgrade(balancer, *options: str) -> int:
    """Returns the new dataplane's process."""
    old = balancer.pid_of("dataplane")
    done = balancer.cli("upgrade", *options)
    assert done.status == 0, done.err
    assert "go on" in done.out and "handed over" in done.out
    wait_gone(old)
    fresh = balancer.pid_of("dataplane")
    assert fresh not in (0, old)
    return fresh


@pytest.mark.continuity("P4 dataplane upgraded under 2000 flows")
def test_an_upgrade_keeps_every_flow(balancer, load, measured):
    fresh = balancer.configuration.folder / "fresh-dataplane"
    shutil.copy(balancer.binaries / "holdfast-dataplane", fresh)
    upgrade(balancer, "--binary", str(fresh))
    wait_answered_again(load)
    measured.at_most("window of loss", loss_window_ms(load.report()), HANDOVER_MS, "ms")
    once_more = process.now()
    upgrade(balancer)  # to what stands there now
    wait_answered_again(load)
    report = load.stop()
    measured.at_most("once more", loss_window_ms(report, once_more), HANDOVER_MS, "ms")
    measured.none(report, "moved", "broken")
    assert all(worker["unaccounted"] == 0 for worker in balancer.status()["workers"])


@pytest.mark.continuity("P4 dataplane upgraded by a restart")
def test_an_upgrade_by_a_restart_keeps_every_flow(balancer, load, measured):
    old = balancer.pid_of("dataplane")
    done = balancer.cli("upgrade", "--restart")
    assert done.status == 0, done.err
    assert "gave way" in done.out
    assert balancer.pid_of("dataplane") not in (0, old)
    wait_answered_again(load)
    report = load.stop()
    measured.at_most("window of loss", loss_window_ms(report), FORWARDING_MS, "ms")
    measured.none(report, "moved", "broken")


@pytest.mark.continuity("P4 upgrade to a program that does not start")
@pytest.mark.parametrize("does", ["exit 1", "kill -STOP $$"], ids=["ends", "hangs"])
def test_a_program_that_does_not_come_up_changes_nothing(balancer, load, measured, does):
    old = balancer.pid_of("dataplane")
    fresh = put_program(balancer, f'exec REAL "$@" ;; *) {does} ;; esac')
    done = balancer.cli("upgrade", "--binary", str(fresh), "--timeout", "2s")
    assert done.status == 1
    assert "the running program goes on" in done.err
    wait_answered_again(load)
    assert balancer.pid_of("dataplane") == old
    measured.none(load.stop(), "lost", "moved", "broken")
    upgrade(balancer)  # the program of before stands there again


@pytest.mark.continuity("P4 upgrade by a restart to a program that does not start")
def test_a_program_that_does_not_come_up_gives_way_to_the_one_before(balancer, load, measured):
    fresh = put_program(balancer, 'exec REAL "$@" ;; *) exit 1 ;; esac')
    done = balancer.cli("upgrade", "--restart", "--binary", str(fresh), "--timeout", "2s")
    assert done.status == 1
    assert "the program of before runs again" in done.err
    wait_answered_again(load)
    report = load.stop()
    measured.note("window of loss", loss_window_ms(report), "ms")
    measured.none(report, "moved", "broken")


@pytest.mark.continuity("P4 a successor {fails} when the dataplane has stopped for it")
@pytest.mark.parametrize("fails", ["ends", "hangs"])
def test_a_dataplane_goes_on_when_its_successor_does_not(balancer, load, measured, fails):
    old = balancer.pid_of("dataplane")
    words = Path("/proc", str(old), "cmdline").read_text().split("\0")
    startup = words[words.index("--startup") + 1]
    successor = subprocess.Popen(
        [sys.executable, "-c", SUCCESSOR, startup, str(balancer.configuration.folder), fails]
    )
    assert successor.wait(30) in (0 if fails == "ends" else -signal.SIGKILL, -signal.SIGKILL)
    wait_answered_again(load)
    assert balancer.pid_of("dataplane") == old
    report = load.stop()
    limit = HANDOVER_MS if fails == "ends" else TAKE_OVER_LIMIT_MS + HANDOVER_MS
    measured.at_most("window of loss", loss_window_ms(report), limit, "ms")
    measured.none(report, "moved", "broken")
    upgrade(balancer)


@pytest.mark.continuity("P4 dataplane upgraded while no supervisor watches")
def test_a_successor_is_found_by_whoever_watches_it_next(balancer, load, measured):
    os.kill(balancer.supervisor.pid, signal.SIGKILL)
    fresh = upgrade(balancer)
    balancer.start()
    wait_answered_again(load)
    process.wait_until(
        lambda: re.search(rf"adopted.*pid={fresh}\b", balancer.log.read_text()),
        "the next supervisor to find it",
    )
    assert balancer.pid_of("dataplane") == fresh
    measured.none(load.stop(), "moved", "broken")
    assert balancer.stop() == 0
    assert balancer.pid_of("dataplane") == 0
    balancer.start().wait_ready()


def test_a_stop_in_the_middle_leaves_nobody_behind(balancer):
    waiting = balancer.start_cli("upgrade")
    process.wait_until(
        lambda: "prepares" in balancer.log.read_text(), "the successor to be on its way"
    )
    assert balancer.stop() == 0
    waiting.communicate(timeout=20)
    process.wait_until(lambda: balancer.pid_of("dataplane") == 0, "all dataplanes to end")
    namespace = balancer.lab.namespace(balancer.role)
    tables = subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "list", "tables"], capture_output=True, text=True
    )
    assert "holdfast" not in tables.stdout
    balancer.start().wait_ready()


@pytest.mark.continuity("P4 upgrade to a program that could not take over")
def test_a_program_that_says_it_could_not_is_refused_and_nothing_happens(
    balancer, load, measured
):
    old = balancer.pid_of("dataplane")
    fresh = put_program(balancer, "echo 'no such processor' >&2; exit 77 ;; esac")
    done = balancer.cli("upgrade", "--binary", str(fresh))
    assert done.status == 5
    assert "no such processor" in done.err
    assert "nothing was changed" in done.err
    wait_answered_again(load)
    assert balancer.pid_of("dataplane") == old
    measured.none(load.stop(), "lost", "moved", "broken")


@pytest.mark.continuity("P3 control replaced by another build")
def test_a_control_of_another_build_adopts_what_the_one_before_left(balancer, load, measured):
    fresh = balancer.binaries / "holdfast.new"
    shutil.copy(balancer.binaries / "holdfast", fresh)
    fresh.rename(balancer.binaries / "holdfast")
    old, _ = end(balancer, "control", "SIGTERM")
    wait_new(balancer, "control", old)
    wait_adopted(balancer)
    program = Path("/proc", str(balancer.pid_of("control")), "exe")
    assert program.samefile(balancer.binaries / "holdfast")
    wait_answered_again(load)
    status = balancer.status()
    measured.at_most("adopted", status["adopted_ms"], ADOPTED_MS, "ms")
    measured.at_most("state changes", status["adoption_state_changes"], 0)
    measured.none(load.stop(), "lost", "moved", "broken")
