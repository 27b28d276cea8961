# SPDX-License-Identifier: Apache-2.0
"""What the processes do when they are killed, and what they refuse at their start."""

import os
import signal
from dataclasses import replace

import pytest

from conftest import NAT
from holdfast_lab import process
from holdfast_lab.balancer import Balancer

TABLE = "table netdev holdfast_"


def test_without_control_the_dataplane_is_asked_and_the_cli_says_so(balancer):
    os.kill(balancer.pid_of("control"), signal.SIGSTOP)
    try:
        answer = balancer.cli("backends")
        assert "control" in answer.out + answer.err
        assert "web" in answer.out
    finally:
        os.kill(balancer.pid_of("control"), signal.SIGCONT)


def test_a_stop_in_order_leaves_no_process_and_no_firewall_table(lab, binaries, configuration):
    balancer = Balancer(lab, binaries, configuration).start()
    balancer.wait_ready()
    assert balancer.stop() == 0
    assert balancer.pid_of("control") == 0
    assert balancer.pid_of("dataplane") == 0
    assert "holdfast" not in lab.in_namespace("balancer", "nft", "list", "tables")


def test_a_second_instance_on_the_same_sockets_is_refused(lab, binaries, balancer):
    second = Balancer(lab, binaries, balancer.configuration)
    second.log = balancer.log.with_name("second.log")
    second.start()
    status = second.supervisor.popen.wait(15)
    assert status == 5
    assert balancer.status()["dataplane_connected"]


def test_a_second_instance_of_the_same_name_is_refused_whatever_its_paths(lab, binaries, balancer):
    first = balancer.configuration
    folder = first.folder.with_name(first.folder.name + "-second")
    other = replace(first, folder=folder, state_file=first.shared_memory() + ".second")
    second = Balancer(lab, binaries, other).start()
    assert second.supervisor.popen.wait(15) == 5
    assert f"dataplane.instance {first.instance}" in second.log.read_text()
    assert TABLE in lab.in_namespace("balancer", "nft", "list", "tables")


def test_a_flushed_firewall_gets_its_table_back_and_it_is_counted(lab, balancer):
    lab.in_namespace("balancer", "nft", "flush", "ruleset")
    process.wait_until(
        lambda: TABLE in lab.in_namespace("balancer", "nft", "list", "tables"), "the table", 2
    )
    process.wait_until(lambda: balancer.status()["guard_losses"] == 1, "the count", 2)
    assert "203.0.113.10" in lab.in_namespace("balancer", "nft", "list", "ruleset")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"wan": "nowhere0"}, "nowhere0"),
        ({"wan": "lo"}, "lo is the loopback interface"),
        ({"services": (replace(NAT, vips=("203.0.113.2",)),)}, "203.0.113.2"),
    ],
    ids=["missing interface", "the loopback interface", "a local address as VIP"],
)
def test_a_start_that_cannot_work_says_what_to_do(lab, binaries, configuration, change, named):
    balancer = Balancer(lab, binaries, replace(configuration, **change)).start()
    assert balancer.supervisor.popen.wait(15) in (3, 77)
    assert named in balancer.log.read_text(errors="replace")


def test_a_control_that_starts_beside_a_vip_of_the_machine_says_so_and_tries_again(lab, balancer):
    """The dataplane forwards: nothing stops, and the file is in force once the address is gone."""
    first = balancer.configuration
    other = replace(NAT, name="other", vips=("203.0.113.77",))
    lab.in_namespace("balancer", "ip", "address", "add", "203.0.113.77/32", "dev", "lo")
    try:
        balancer.write(replace(first, services=(*first.services, other)).text())
        old = balancer.pid_of("control")
        os.kill(old, signal.SIGKILL)
        process.wait_until(lambda: balancer.pid_of("control") not in (0, old), "a new control")
        process.wait_until(lambda: balancer.cli("status").status == 1, "the refusal")
        said = balancer.cli("status")
        assert "the configuration is not in force" in said.err
        assert "203.0.113.77" in said.err
    finally:
        lab.in_namespace("balancer", "ip", "address", "del", "203.0.113.77/32", "dev", "lo")
    process.wait_until(lambda: "other" in balancer.services(), "the file in force", 8)
    assert balancer.cli("status").status == 0
