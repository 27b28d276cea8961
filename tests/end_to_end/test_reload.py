# SPDX-License-Identifier: Apache-2.0
"""Reloads: good ones lose nothing, bad ones change nothing."""

import time
from dataclasses import replace

import pytest

from conftest import DSR, NAT
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target


@pytest.mark.quick
@pytest.mark.continuity("P1 a reload adds a backend, halves a weight, turns the order")
def test_a_reload_under_load_loses_and_moves_nothing(lab, balancer, measured):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    load.wait_answered()
    weights = {"d": 100, "c": 50, "b": 100, "a": 100}
    services = tuple(one.with_weights(weights) for one in balancer.configuration.services)
    balancer.write(replace(balancer.configuration, services=services).text())
    status = balancer.reload_by_signal()
    assert status["last_reload"]["result"] == "applied"
    balancer.wait_member("web", "d", "disposition", "new")
    time.sleep(1)
    report = load.stop()
    measured.none(report, "lost", "moved", "broken")
    assert report["udp"]["sent"] == report["udp"]["answered"]


def test_an_unchanged_file_is_no_new_revision(balancer):
    before = balancer.status()
    after = balancer.reload_by_signal()
    assert after["last_reload"]["result"] == "unchanged"
    assert after["revision"] == before["revision"]


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda text: text.replace("balance:", "blance:", 1), "did you mean 'balance'"),
        (lambda text: text.replace("flows: 256k", "flows: 128k"), "flows"),
        (lambda text: text[: text.rindex("{") + 1], "error"),
        (lambda text: "", "error"),
        (lambda text: text.replace("10.0.3.11", "203.0.113.10"), "203.0.113.10"),
    ],
    ids=["unknown key", "start-up key", "half a file", "empty file", "backend is a VIP"],
)
@pytest.mark.continuity("P1 a reload finds a bad file ({named})")
def test_a_bad_file_is_refused_by_name_and_changes_nothing(balancer, measured, broken, named):
    before, members = balancer.status(), balancer.members()
    balancer.write(broken(balancer.configuration.text()))
    after = balancer.reload_by_signal()
    assert after["last_reload"]["result"] == "refused"
    assert named in "\n".join(after["last_reload"]["lines"])
    changed = sum(after[what] != before[what] for what in ("revision", "generation"))
    now = balancer.members()
    changed += sum(now[name]["weight"] != members[name]["weight"] for name in members)
    measured.at_most("what it changed", changed + len(now) - len(members), 0)
    verb = balancer.cli("reload", "--wait")
    assert verb.status == 3
