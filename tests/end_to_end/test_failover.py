# SPDX-License-Identifier: Apache-2.0
"""Backends that die, come back and are drained: nobody else's flow is touched."""

import time

import pytest

from conftest import DSR, NAT
from holdfast_lab import process, promises
from holdfast_lab.loads import MessageLoad, NewConnections, seen_between
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target

SILENCE_MS = {"nat": 100, "dsr": 350}  # P6, under traffic, at the lab's interval of probes
counted = promises.count

@pytest.fixture
def load(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    load.wait_answered()
    yield load
    load.stop()


@pytest.mark.quick
@pytest.mark.continuity("P2 a backend is killed and comes back")
def test_a_killed_backend_gets_no_new_flow_and_other_flows_stay(lab, balancer, load, measured):
    newcomers = [NewConnections(lab, service.vips[0], 3) for service in (NAT, DSR)]
    before = balancer.members()
    process.wait_until(
        lambda: all(
            balancer.members()[(one.name, "b")]["new_flows"] > before[(one.name, "b")]["new_flows"]
            for one in (NAT, DSR)
        ),
        "new connections to b",
    )
    killed_at = lab.servers["b"].kill()
    for service in (NAT, DSR):
        balancer.wait_member(service.name, "b", "health", "down")
    for one in newcomers:
        one.result()
    members = balancer.members()
    for service in (NAT, DSR):
        last = members[(service.name, "b")]["last_new_flow_unix_ns"] / 1e9
        late = max(0.0, 1e3 * (last - killed_at))
        measured.at_most(f"last new flow, {service.mode}", late, SILENCE_MS[service.mode], "ms")
    lab.servers["b"].start().wait_ready()
    for service in (NAT, DSR):
        balancer.wait_member(service.name, "b", "disposition", "new")
    report = load.settle(time.time())
    measured.none(report, "lost", "moved", "broken", without="b")


@pytest.mark.continuity("P2 a backend is drained")
def test_a_drained_backend_keeps_its_flows_and_gets_no_new_ones(lab, balancer, load, measured):
    start = time.time()
    assert balancer.cli("drain", "web/a").status == 0
    flows = balancer.members()[("web", "a")]["new_flows"]
    more = MessageLoad(lab, LoadPlan([target(NAT)]))
    time.sleep(1.5)
    assert "a" not in more.stop()["tcp"]["open"]["web"]
    newer = balancer.members()[("web", "a")]["new_flows"]
    measured.at_most("new flows behind the verb", newer - flows, 0)
    end = time.time()
    report = load.settle(end)
    seen = seen_between(report, "tcp", start, end)
    assert (seen.moved, seen.broken, seen.lost) == ({}, {}, {})
    measured.none(report, "lost", "moved", "broken")
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


@pytest.mark.continuity("P2 all backends of a service die and come back")
def test_a_service_whose_backends_all_died_serves_again_when_they_are_back(
    lab, balancer, load, measured
):
    for name in ("a", "b", "c"):
        lab.servers[name].kill()
    for name in ("a", "b", "c"):
        balancer.wait_member("web", name, "health", "down")
    for name in ("a", "b", "c"):
        lab.servers[name].start()
    for name in ("a", "b", "c"):
        lab.servers[name].wait_ready()
    back_at = time.time()
    for service in (NAT, DSR):
        for name in ("a", "b", "c"):
            balancer.wait_member(service.name, name, "disposition", "new")
    measured.at_most("all taken in", time.time() - back_at, 3.0, "s")
    process.wait_until(
        lambda: load.report()["oldest_answer_to"] > back_at, "answers on every flow", 20
    )
    measured.at_most("every client served again", time.time() - back_at, 10.0, "s")
