# SPDX-License-Identifier: Apache-2.0
"""Who survives what: the processes end in every way, and the flows go on."""

import os
import signal

import pytest

from conftest import DSR, NAT
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_failover import counted
from test_forwarding import target


@pytest.fixture
def load(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT, flows=0), target(DSR, flows=0)]))
    load.wait_answered()
    yield load
    load.stop()


def wait_adopted(balancer) -> None:
    def adopted() -> bool:
        answer = balancer.cli("status")
        return answer.status == 0 and balancer.status().get("adopted_ms", -1) >= 0

    process.wait_until(adopted, "control to answer and to have adopted", 15)


def nothing_moved(load) -> None:
    """Every connection is answered again, by the backend that it had."""
    report = load.report()
    answered = report["tcp"]["answered"]
    process.wait_until(
        lambda: load.report()["tcp"]["answered"] > answered + 80, "answers on every connection"
    )
    report = load.report()
    for what in ("moved", "broken"):
        assert counted(report, what) == 0, what


@pytest.mark.quick
def test_control_starts_on_the_accepted_revision_while_the_file_is_broken(balancer, load):
    balancer.write("services: [\n")
    old = balancer.pid_of("control")
    os.kill(old, signal.SIGKILL)
    process.wait_until(lambda: balancer.pid_of("control") not in (0, old), "a new control")
    wait_adopted(balancer)
    status = balancer.status()
    assert status["last_reload"]["result"] == "refused"
    assert status["adoption_state_changes"] == 0
    assert balancer.cli("drain", "web/a").status == 0
    nothing_moved(load)
    balancer.write(balancer.configuration.text())


@pytest.mark.quick
def test_a_killed_dataplane_goes_on_with_the_flows_that_it_had(balancer, load):
    assert balancer.cli("drain", "web/b").status == 0
    old = balancer.pid_of("dataplane")
    os.kill(old, signal.SIGKILL)
    process.wait_until(lambda: balancer.pid_of("dataplane") not in (0, old), "a new dataplane")
    process.wait_until(
        lambda: balancer.members()[("web", "b")]["disposition"] == "keep", "the drain to stand"
    )
    nothing_moved(load)


def test_both_killed_find_each_other_and_their_state_again(balancer, load):
    for name in ("control", "dataplane"):
        os.kill(balancer.pid_of(name), signal.SIGKILL)
    process.wait_until(lambda: balancer.pid_of("dataplane") != 0, "a new dataplane")
    wait_adopted(balancer)
    nothing_moved(load)


def test_children_outlive_a_killed_supervisor_and_the_next_one_finds_them(balancer, load):
    pids = {name: balancer.pid_of(name) for name in ("control", "dataplane")}
    os.kill(balancer.supervisor.popen.pid, signal.SIGKILL)
    balancer.supervisor.popen.wait(5)
    nothing_moved(load)
    balancer.start()
    process.wait_until(lambda: balancer.log.read_text().count("event=adopted") >= 2, "adoption")
    assert {name: balancer.pid_of(name) for name in pids} == pids
    nothing_moved(load)


def test_a_hung_control_leaves_forwarding_on_and_goes_on_itself(balancer, load):
    control = balancer.pid_of("control")
    os.kill(control, signal.SIGSTOP)
    try:
        nothing_moved(load)
    finally:
        os.kill(control, signal.SIGCONT)
    wait_adopted(balancer)
    assert balancer.pid_of("control") == control
