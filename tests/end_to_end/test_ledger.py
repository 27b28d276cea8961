# SPDX-License-Identifier: Apache-2.0
"""The ledger says what the clients saw: over a reload, a death, and a drain that ends with resets."""

import json
import time
from dataclasses import replace

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_failover import counted
from test_forwarding import target


@pytest.fixture
def both(lab, binaries):
    """Holdfast with two services, and long-lived flows of both kinds through each."""
    with running_balancer(lab, binaries, new_configuration(lab, (NAT, DSR))) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
        load.wait_answered()
        yield balancer, load
        load.stop()


def events(balancer) -> list[dict]:
    return json.loads(balancer.cli("events", "-o", "json").out)["events"]


def newest(balancer, kind: str) -> dict:
    """The newest event of that kind, once there is one and it has settled."""

    def found() -> dict | None:
        of_kind = [one for one in events(balancer) if one["kind"] == kind]
        last = max(of_kind, key=lambda one: one["number"], default=None)
        return last if last and last["settled"] else None

    process.wait_until(lambda: found() is not None, f"{kind} to settle", 30)
    return found() or {}


def total(balancer, what: str, service: str = "") -> int:
    """Flows over all events: `reset`, or one of the causes of a move."""
    return sum(
        one[what] if what in one else one["moved"].get(what, 0)
        for event in events(balancer)
        for one in event["services"]
        if service in ("", one["service"])
    )


@pytest.mark.quick
def test_a_reload_and_a_death_move_nothing_and_the_ledger_says_so(lab, both):
    balancer, load = both
    weights = {"d": 100, "c": 50, "b": 100, "a": 100}
    services = tuple(one.with_weights(weights) for one in balancer.configuration.services)
    balancer.write(replace(balancer.configuration, services=services).text())
    assert balancer.reload_by_signal()["last_reload"]["result"] == "applied"
    lab.servers["b"].kill()
    for service in (NAT, DSR):
        balancer.wait_member(service.name, "b", "health", "down")
    fell = newest(balancer, "member_down")
    report = load.settle(time.time())
    for what in ("lost", "broken", "moved"):
        assert counted(report, what, without="b") == 0, what
    assert (total(balancer, "reset"), total(balancer, "reopened")) == (0, 0)
    assert newest(balancer, "reload")["services"] == []
    assert fell["object"] in ("web/b", "web-dsr/b")
    lab.servers["b"].start().wait_ready()
    balancer.wait_member(NAT.name, "b", "disposition", "new")


def test_a_drain_that_ends_with_resets_counts_those_that_its_clients_saw(both):
    balancer, load = both
    before = load.report()
    had = {kind: before[kind]["open"]["web"].get("a", 0) for kind in ("tcp", "udp")}
    assert had["tcp"] > 0 and had["udp"] > 0
    answer = balancer.cli("drain", "web/a", "--deadline", "1s", "--then", "reset")
    assert answer.status == 0
    balancer.wait_member("web", "a", "disposition", "reset")
    newest(balancer, "drain_deadline")
    report = load.settle(time.time())
    broken = [event for event in report["tcp"]["broken"] if event[1:3] == ["web", "a"]]
    moved = [event for event in report["udp"]["moved"] if event[1:3] == ["web", "a"]]
    assert (len(broken), len(moved)) == (had["tcp"], had["udp"])
    counters = {one["name"]: one["moves"] for one in services(balancer)}
    assert counters["web"]["reset"] == len(broken)
    assert counters["web"]["moved"]["reset"] == len(moved)
    assert counters["web-dsr"]["reset"] == 0
    assert counters["web-dsr"]["moved"] == {
        "reset": 0, "down": 0, "reopened": 0, "operator": 0
    }
    resets = sum(
        one["reset"] for event in events(balancer) for one in event["services"]
    )
    assert resets == len(broken)


def test_idle_flows_are_asked_and_reset_at_a_drains_deadline(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, (NAT, DSR))) as balancer:
        # Each connection speaks every 20 s: nearly all are idle when their turn comes.
        plan = LoadPlan([target(NAT, flows=0), target(DSR, flows=0)], messages_per_second=0.05)
        load = MessageLoad(lab, plan)
        load.wait_answered(40)
        had = {one.name: load.report()["tcp"]["open"][one.name]["a"] for one in (NAT, DSR)}
        answer = balancer.cli("drain", "a", "--deadline", "1s", "--then", "reset")
        assert answer.status == 0

        def broken(service: str) -> int:
            events = load.report()["tcp"]["broken"]
            return sum(1 for event in events if event[1:3] == [service, "a"])

        for name, flows in had.items():
            process.wait_until(lambda: broken(name) == flows, f"{flows} resets of {name}", 10)
        newest(balancer, "drain_deadline")
        counters = {one["name"]: one["moves"] for one in services(balancer)}
        for name, flows in had.items():
            assert counters[name]["reset"] == flows
            assert counters[name]["asked"] >= flows / 2
            assert counters[name]["unanswered"] == 0
        load.stop()


def services(balancer) -> list[dict]:
    return json.loads(balancer.cli("services", "-o", "json").out)["services"]
