# SPDX-License-Identifier: Apache-2.0
"""Backends that die, come back and are drained: nobody else's flow is touched."""

import time

import pytest

from conftest import DSR, NAT
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad, seen_between
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target


@pytest.fixture
def load(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    load.wait_answered()
    yield load
    load.stop()


def counted(report: dict, what: str, without: str = "") -> int:
    return sum(
        1 for kind in ("tcp", "udp") for event in report[kind][what] if event[2] != without
    )


@pytest.mark.quick
def test_a_killed_backend_gets_no_new_flow_and_other_flows_stay(lab, balancer, load):
    killed_at = lab.servers["b"].kill()
    for service in (NAT, DSR):
        balancer.wait_member(service.name, "b", "health", "down")
    time.sleep(2)
    members = balancer.members()
    for service in (NAT, DSR):
        last = members[(service.name, "b")]["last_new_flow_unix_ns"] / 1e9
        assert last - killed_at < 0.35
    lab.servers["b"].start().wait_ready()
    for service in (NAT, DSR):
        balancer.wait_member(service.name, "b", "disposition", "new")
    report = load.settle(time.time())
    for what in ("lost", "moved", "broken"):
        assert counted(report, what, without="b") == 0, what


def test_a_drained_backend_keeps_its_flows_and_gets_no_new_ones(lab, balancer, load):
    start = time.time()
    assert balancer.cli("drain", "web/a").status == 0
    flows = balancer.members()[("web", "a")]["new_flows"]
    more = MessageLoad(lab, LoadPlan([target(NAT)]))
    time.sleep(1.5)
    assert "a" not in more.stop()["tcp"]["open"]["web"]
    assert balancer.members()[("web", "a")]["new_flows"] == flows
    end = time.time()
    seen = seen_between(load.settle(end), "tcp", start, end)
    assert (seen.moved, seen.broken, seen.lost) == ({}, {}, {})
    assert balancer.cli("undrain", "web/a").status == 0
    balancer.wait_member("web", "a", "disposition", "new")


def test_a_drain_that_waits_ends_with_the_last_flow(lab, balancer, load):
    waiting = balancer.start_cli("drain", "web/a", "--wait")
    balancer.wait_member("web", "a", "disposition", "keep")
    assert waiting.poll() is None
    assert load.close("web", "a") > 0
    process.wait_until(lambda: waiting.poll() is not None, "the drain to end", 30)
    assert waiting.returncode == 0
    assert balancer.members()[("web", "a")]["flows"] == 0
    balancer.cli("undrain", "web/a")


def test_the_last_backend_of_a_service_is_not_drained(balancer):
    assert balancer.cli("drain", "web/a").status == 0
    assert balancer.cli("drain", "web/b").status == 0
    refused = balancer.cli("drain", "web/c")
    assert refused.status == 5
    assert "min_capacity" in refused.out + refused.err
    for backend in ("a", "b"):
        balancer.cli("undrain", f"web/{backend}")
