# SPDX-License-Identifier: Apache-2.0
"""Cables that are pulled and put back: at the balancer, and at a backend."""

import time

import pytest

from conftest import DSR, NAT
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad, outage_ms
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.topology import LAN_PORT, WAN_PORT
from test_forwarding import target

FORWARDED_MS = 1000
SILENCE_MS = 350  # P6: the last new flow behind the moment
DOWN_SECONDS = 2


def set_link(lab, device: str, state: str) -> None:
    lab.in_namespace("fabric", "ip", "link", "set", f"to-{device}", state)


@pytest.mark.continuity("P4 port {port} down and up")
@pytest.mark.parametrize("port", [WAN_PORT, LAN_PORT])
def test_a_port_whose_cable_comes_back_forwards_again(lab, balancer, measured, port):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    try:
        load.wait_answered()
        set_link(lab, port, "down")
        time.sleep(DOWN_SECONDS)
        set_link(lab, port, "up")
        up_at = process.now()
        process.wait_until(
            lambda: load.report()["oldest_answer_to"] > up_at, "answers on every flow", 20
        )
        report = load.stop()
    finally:
        load.end()
    measured.at_most("forwarded again", outage_ms(report, up_at), FORWARDED_MS, "ms")
    measured.none(report, "moved", "broken")
    losses = {one["name"]: one["counters"]["link_losses"] for one in balancer.status()["ports"]}
    measured.at_least("link losses counted", losses[{WAN_PORT: "wan0", LAN_PORT: "lan0"}[port]], 1)
    for service in (NAT, DSR):
        for backend in ("a", "b", "c"):
            balancer.wait_member(service.name, backend, "disposition", "new")


@pytest.mark.continuity("P2 a backend's host falls silent (link down)")
def test_a_silent_host_gets_no_new_flow_and_other_flows_stay(lab, balancer, measured):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    try:
        load.wait_answered()
        set_link(lab, "b", "down")
        silent_at = process.now()
        for service in (NAT, DSR):
            balancer.wait_member(service.name, "b", "health", "down")
        measured.at_most("found out", 1e3 * (process.now() - silent_at), 1500, "ms")
        set_link(lab, "b", "up")
        for service in (NAT, DSR):
            balancer.wait_member(service.name, "b", "disposition", "new")
        report = load.stop()
    finally:
        load.end()
    measured.none(report, "lost", "moved", "broken", without="b")
