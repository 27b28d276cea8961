# SPDX-License-Identifier: Apache-2.0
"""Who survives what: every cell of the table in ARCHITECTURE.md, under flows that are counted."""

import os
import re
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process, thread_stopper
from holdfast_lab.loads import MessageLoad, outage_ms
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target

ADOPTED_MS = 2000
FORWARDING_MS = 3000
SILENT_S = 5  # after which a stuck worker's process aborts
MOST_CORE_BYTES = 64 << 20  # stacks and heap; the buffers and tables of these tests are as large
ENDINGS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
each_ending = pytest.mark.parametrize("how", ENDINGS)


@pytest.fixture
def load(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    load.wait_answered()
    yield load
    load.end()


def has_adopted(balancer) -> bool:
    answer = balancer.cli("status")
    return answer.status == 0 and balancer.status().get("adopted_ms", -1) >= 0


def wait_adopted(balancer) -> None:
    process.wait_until(
        lambda: has_adopted(balancer), "control to answer and to have adopted", 15
    )


def end(balancer, name: str, how: str) -> tuple[int, float]:
    """Ends a process. Returns its id and when."""
    pid, now = balancer.pid_of(name), process.now()
    os.kill(pid, ENDINGS[how])
    return pid, now


def wait_new(balancer, name: str, old: int) -> None:
    process.wait_until(lambda: balancer.pid_of(name) not in (0, old), f"a new {name}", 15)


def wait_answered_again(load) -> None:
    """Until there is an answer to something sent from now on, on every flow."""
    now = process.now()
    process.wait_until(
        lambda: load.report()["oldest_answer_to"] > now, "answers on every flow", 20
    )


def measure_outage(measured, report: dict, ended_at: float) -> None:
    measured.at_most("forwarding again", outage_ms(report, ended_at), FORWARDING_MS, "ms")
    measured.none(report, "moved", "broken")


@pytest.mark.quick
@pytest.mark.continuity("P3 control ends by {how}")
@each_ending
def test_a_control_that_ends_is_replaced_by_one_that_adopts(balancer, load, measured, how):
    assert balancer.cli("drain", "web/a").status == 0
    old, _ = end(balancer, "control", how)
    wait_new(balancer, "control", old)
    wait_adopted(balancer)
    wait_answered_again(load)
    status = balancer.status()
    measured.at_most("adopted", status["adopted_ms"], ADOPTED_MS, "ms")
    measured.at_most("state changes", status["adoption_state_changes"], 0)
    assert balancer.members()[("web", "a")]["admin"] == "draining"
    measured.none(load.stop(), "lost", "moved", "broken")
    balancer.cli("undrain", "web/a")


@pytest.mark.quick
@pytest.mark.continuity("P3 control killed while the file is broken")
def test_control_starts_on_the_accepted_revision_while_the_file_is_broken(
    balancer, load, measured
):
    balancer.write("services: [\n")
    old, _ = end(balancer, "control", "SIGKILL")
    wait_new(balancer, "control", old)
    wait_adopted(balancer)
    status = balancer.status()
    assert status["last_reload"]["result"] == "refused"
    measured.at_most("state changes", status["adoption_state_changes"], 0)
    assert balancer.cli("drain", "web/a").status == 0
    wait_answered_again(load)
    measured.none(load.stop(), "lost", "moved", "broken")
    balancer.write(balancer.configuration.text())


@pytest.mark.continuity("P3 control hangs (SIGSTOP)")
def test_a_hung_control_leaves_forwarding_on_and_goes_on_itself(balancer, load, measured):
    control = balancer.pid_of("control")
    os.kill(control, signal.SIGSTOP)
    try:
        wait_answered_again(load)
    finally:
        os.kill(control, signal.SIGCONT)
    wait_adopted(balancer)
    assert balancer.pid_of("control") == control
    measured.none(load.stop(), "lost", "moved", "broken")


@pytest.mark.quick
@pytest.mark.continuity("P4 dataplane ends by {how}")
@each_ending
def test_a_dataplane_that_ends_goes_on_with_the_flows_that_it_had(balancer, load, measured, how):
    assert balancer.cli("drain", "web/b").status == 0
    old, ended_at = end(balancer, "dataplane", how)
    wait_new(balancer, "dataplane", old)
    process.wait_until(
        lambda: balancer.members()[("web", "b")]["disposition"] == "keep", "the drain to stand"
    )
    wait_answered_again(load)
    measure_outage(measured, load.stop(), ended_at)


def asks_for_core(pid: int) -> bool:
    """Whether the kernel was told to keep a core of the process: its own memory alone."""
    limits = Path("/proc", str(pid), "limits").read_text()
    soft, hard = re.search(r"Max core file size +(\S+) +(\S+)", limits).groups()
    what = Path("/proc", str(pid), "coredump_filter").read_text().strip()
    return soft == hard and what == "00000011"


def assert_left_core(balancer) -> None:
    """By what the supervisor saw; where the kernel gives cores to a program, that decides."""
    said = re.findall(r"signal=Aborted core=(\S+)", balancer.log.read_text(errors="replace"))
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if Path("/proc/sys/kernel/core_pattern").read_text() != "core\n" or hard == 0:
        assert said
        return
    assert said == ["yes"]
    cores = list(balancer.configuration.folder.glob("core*"))
    assert cores and all(0 < core.stat().st_size < MOST_CORE_BYTES for core in cores)


def stop_worker(balancer) -> None:
    """One worker comes round no more; every other thread goes on."""
    stopper = process.Process(
        balancer.lab.run,
        balancer.lab.namespace("balancer"),
        ["/usr/bin/python3", thread_stopper.__file__, str(balancer.pid_of("dataplane")), "worker-"],
        balancer.log.with_name("thread-stopper.log"),
        pipes=True,
    )
    assert stopper.popen.stdout.readline() == b"stopped\n", stopper.said()


@pytest.mark.continuity("P4 a worker hangs")
def test_a_stuck_worker_makes_the_node_not_ready_then_its_process_aborts_and_comes_back(
    balancer, load, measured
):
    old, stuck_at = balancer.pid_of("dataplane"), process.now()
    assert asks_for_core(old)
    stop_worker(balancer)
    process.wait_until(
        lambda: "worker" in balancer.cli("health").out, "the node not to be ready", 4
    )
    measured.at_most("node not ready", process.now() - stuck_at, 3.0, "s")
    process.wait_until(lambda: balancer.pid_of("dataplane") != old, "the process to abort", 12)
    measured.at_most("aborted", process.now() - stuck_at, SILENT_S + 2.0, "s")
    ended_at = process.now()
    wait_new(balancer, "dataplane", old)
    assert_left_core(balancer)
    wait_answered_again(load)
    measure_outage(measured, load.stop(), ended_at)
    process.wait_until(lambda: balancer.cli("health").out == "ready\n", "the node to be ready")


@pytest.mark.continuity("P4 control and dataplane end by {how}")
@each_ending
def test_both_find_each_other_and_their_state_again(balancer, load, measured, how):
    ended_at = process.now()
    old = {name: end(balancer, name, how)[0] for name in ("control", "dataplane")}
    for name, pid in old.items():
        wait_new(balancer, name, pid)
    wait_adopted(balancer)
    wait_answered_again(load)
    measure_outage(measured, load.stop(), ended_at)


@pytest.mark.continuity("P3 control and dataplane hang (SIGSTOP)")
def test_both_go_on_where_they_were_when_they_hung(balancer, load, measured):
    pids = {name: balancer.pid_of(name) for name in ("control", "dataplane")}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2)  # as long as it takes for datagrams to be lost
    for pid in pids.values():
        os.kill(pid, signal.SIGCONT)
    wait_answered_again(load)
    assert {name: balancer.pid_of(name) for name in pids} == pids
    measured.none(load.stop(), "moved", "broken")


@pytest.mark.continuity("P3 supervisor killed")
def test_children_outlive_a_killed_supervisor_and_the_next_one_finds_them(
    balancer, load, measured
):
    pids = {name: balancer.pid_of(name) for name in ("control", "dataplane")}
    os.kill(balancer.supervisor.popen.pid, signal.SIGKILL)
    balancer.supervisor.popen.wait(5)
    wait_answered_again(load)
    balancer.start()
    process.wait_until(lambda: balancer.log.read_text().count("event=adopted") >= 2, "adoption")
    assert {name: balancer.pid_of(name) for name in pids} == pids
    wait_answered_again(load)
    measured.none(load.stop(), "lost", "moved", "broken")


@pytest.mark.continuity("P3 supervisor hangs (SIGSTOP)")
def test_children_do_not_notice_that_the_supervisor_hangs(balancer, load, measured):
    os.kill(balancer.supervisor.pid, signal.SIGSTOP)
    try:
        assert balancer.cli("drain", "web/a").status == 0
        wait_answered_again(load)
    finally:
        os.kill(balancer.supervisor.pid, signal.SIGCONT)
    measured.none(load.stop(), "lost", "moved", "broken")
    balancer.cli("undrain", "web/a")


@pytest.mark.continuity("P4 supervisor ends by SIGTERM")
def test_a_stop_in_order_and_a_start_go_on_with_the_flows(balancer, load, measured):
    assert balancer.cli("drain", "web/b").status == 0
    ended_at = process.now()
    assert balancer.stop() == 0
    assert (balancer.pid_of("control"), balancer.pid_of("dataplane")) == (0, 0)
    assert "holdfast" not in balancer.lab.in_namespace("balancer", "nft", "list", "tables")
    measured.note("stopped", process.now() - ended_at, "s")
    started_at = process.now()
    balancer.start()
    wait_adopted(balancer)
    assert balancer.members()[("web", "b")]["disposition"] == "keep"
    wait_answered_again(load)
    measure_outage(measured, load.stop(), started_at)


@pytest.mark.continuity("P4 worker count {before} -> {after}")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_flows_go_over_to_another_number_of_workers(lab, binaries, measured, before, after):
    configuration = replace(new_configuration(lab, (NAT, DSR)), workers=before)
    with running_balancer(lab, binaries, configuration) as balancer:
        load = MessageLoad(lab, LoadPlan([target(DSR)] if after > before else [target(NAT), target(DSR)]))
        try:
            load.wait_answered()
            flows = sum(one["flows"] for one in balancer.members().values())
            assert balancer.stop() == 0
            balancer.write(replace(configuration, workers=after).text())
            started_at = process.now()
            balancer.start()
            wait_adopted(balancer)
            wait_answered_again(load)
            measure_outage(measured, load.stop(), started_at)
        finally:
            load.end()
        said = balancer.log.read_text(errors="replace")
        assert f"from {before} to {after} workers: {flows} flows moved, 0 dropped" in said


def lose_memory(balancer) -> None:
    """What a boot takes away: processes, shared memory, /run, the firewall."""
    for name in ("control", "dataplane"):
        if pid := balancer.pid_of(name):
            process.kill_whole(pid)
    folder = balancer.configuration.folder
    Path(balancer.configuration.shared_memory()).unlink()
    for path in [*folder.glob("*.sock*"), *(folder / "run").iterdir()]:
        path.unlink()
    balancer.lab.in_namespace("balancer", "nft", "flush", "ruleset")


@pytest.mark.continuity("P4 host boots again after {how}")
@each_ending
def test_a_host_that_boots_again_has_its_configuration_and_its_orders(balancer, measured, how):
    assert balancer.cli("drain", "web/b", "--reason", "disk").status == 0
    revision = balancer.status()["revision"]
    if how == "SIGTERM":
        assert balancer.stop() == 0
    else:
        os.kill(balancer.supervisor.popen.pid, signal.SIGKILL)
        balancer.supervisor.popen.wait(5)
    lose_memory(balancer)
    booted_at = process.now()
    balancer.start()
    wait_adopted(balancer)
    status = balancer.status()
    assert status["revision"] == revision
    process.wait_until(
        lambda: balancer.members()[("web", "b")]["disposition"] == "keep", "the drain to stand"
    )
    assert balancer.members()[("web", "b")]["drift"][0]["reason"] == "disk"
    load = MessageLoad(balancer.lab, LoadPlan([target(NAT), target(DSR)]))
    load.wait_answered()
    measured.at_most("forwarding", process.now() - booted_at, 10.0, "s")
    report = load.stop()
    measured.at_most("new flows to what drains", report["tcp"]["open"]["web"].get("b", 0), 0)
