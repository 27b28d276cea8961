# SPDX-License-Identifier: Apache-2.0
"""Upgrades: control by a restart, the dataplane by `holdfast upgrade`, or not at all."""

import shutil
from pathlib import Path

import pytest

from conftest import DSR, NAT, new_configuration
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


@pytest.mark.continuity("P4 dataplane upgraded under 2000 flows")
def test_an_upgrade_keeps_every_flow(balancer, load, measured):
    old = balancer.pid_of("dataplane")
    fresh = balancer.configuration.folder / "fresh-dataplane"
    shutil.copy(balancer.binaries / "holdfast-dataplane", fresh)
    done = balancer.cli("upgrade", "--binary", str(fresh))
    assert done.status == 0, done.err
    assert "go on" in done.out and "gave way" in done.out
    assert balancer.pid_of("dataplane") not in (0, old)
    wait_answered_again(load)
    report = load.stop()
    measured.at_most("window of loss", loss_window_ms(report), FORWARDING_MS, "ms")
    measured.none(report, "moved", "broken")


@pytest.mark.continuity("P4 upgrade to a program that does not start")
@pytest.mark.parametrize("does", ["exit 1", "kill -STOP $$"], ids=["ends", "hangs"])
def test_a_program_that_does_not_come_up_gives_way_to_the_one_before(
    balancer, load, measured, does
):
    fresh = put_program(balancer, f'exec REAL "$@" ;; *) {does} ;; esac')
    done = balancer.cli("upgrade", "--binary", str(fresh), "--timeout", "2s")
    assert done.status == 1
    assert "the program of before runs again" in done.err
    wait_answered_again(load)
    report = load.stop()
    measured.note("window of loss", loss_window_ms(report), "ms")
    measured.none(report, "moved", "broken")


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
