# SPDX-License-Identifier: Apache-2.0
"""Ten thousand established flows, TCP and UDP, in `nat` and in `dsr`, over a killed dataplane."""

import os
import signal

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad, NewConnections, outage_ms
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target
from test_survival import FORWARDING_MS, wait_answered_again, wait_new

FLOWS = 2500  # of a kind, in each of two modes
WEIGHTS = {"a": 100, "b": 100, "c": 100, "d": 100}
SERVICES = tuple(service.with_weights(WEIGHTS) for service in (NAT, DSR))
# Each flow says something every two seconds: what two cores carry with both ends on them, too.
PACE = {"messages_per_second": 0.5, "datagrams_per_second": 0.5}


@pytest.fixture
def balancer(lab, binaries):
    """Holdfast with a backend that is dead and one that drains in each service."""
    with running_balancer(lab, binaries, new_configuration(lab, SERVICES)) as balancer:
        lab.servers["d"].kill()
        for service in SERVICES:
            balancer.wait_member(service.name, "d", "health", "down")
            assert balancer.cli("drain", f"{service.name}/a").status == 0
        yield balancer
    lab.servers["d"].start().wait_ready()


def kill_dataplane(balancer) -> float:
    old, now = balancer.pid_of("dataplane"), process.now()
    os.kill(old, signal.SIGKILL)
    wait_new(balancer, "dataplane", old)
    return now


@pytest.mark.continuity("P4 dataplane killed under 10000 flows")
def test_ten_thousand_flows_outlive_a_killed_dataplane(lab, balancer, measured):
    plan = LoadPlan([target(service, FLOWS, FLOWS) for service in SERVICES], **PACE)
    mbufs = balancer.status()["mbufs_available"]
    load = MessageLoad(lab, plan)
    try:
        load.wait_answered(60)
        newcomers = [NewConnections(lab, service.vips[0], 6) for service in SERVICES]
        killed_at = kill_dataplane(balancer)
        answers = [one.result()["answers"] for one in newcomers]
        wait_answered_again(load)
        report = load.stop()
    finally:
        load.end()
    living = sum(sum(of.values()) for of in report["tcp"]["open"].values())
    measured.at_least("TCP connections that live on", living, 2 * FLOWS)
    measured.at_most("forwarding again", outage_ms(report, killed_at), FORWARDING_MS, "ms")
    measured.none(report, "moved", "broken")
    for_those = sum(found.get(backend, 0) for found in answers for backend in ("a", "d"))
    measured.at_most("new flows to drained and dead members", for_those, 0)
    measured.at_least("new flows to others meanwhile", sum(map(len, answers)), 4)
    accounts = measured.under("P5 dataplane killed under 10000 flows")
    unaccounted = sum(abs(one["unaccounted"]) for one in balancer.status()["workers"])
    accounts.at_most("frames unaccounted", unaccounted, 0)
    process.wait_until(
        lambda: balancer.status()["mbufs_available"] == mbufs, "every buffer to be free again"
    )
    accounts.at_most("buffers missing", mbufs - balancer.status()["mbufs_available"], 0)
