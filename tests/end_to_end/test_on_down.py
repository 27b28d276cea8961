# SPDX-License-Identifier: Apache-2.0
"""What becomes of the flows of a backend that falls silent, by what its service wants."""

from dataclasses import replace

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_forwarding import target
from test_ledger import newest, services
from test_links import set_link

BY_PROTOCOL, PROMPT = NAT, replace(DSR, on_down="reset")


def of_backend(report: dict, protocol: str, what: str, service: str, backend: str) -> int:
    return sum(1 for event in report[protocol][what] if event[1:3] == [service, backend])


@pytest.mark.continuity("P2 a backend falls silent: its service's on_down")
def test_clients_of_a_silent_backend_are_told_or_taken_elsewhere(lab, binaries, measured):
    with running_balancer(lab, binaries, new_configuration(lab, (BY_PROTOCOL, PROMPT))) as balancer:
        load = MessageLoad(lab, LoadPlan([target(BY_PROTOCOL), target(PROMPT)]))
        try:
            load.wait_answered()
            had = load.report()
            set_link(lab, "b", "down")
            for service in (BY_PROTOCOL, PROMPT):
                balancer.wait_member(service.name, "b", "health", "down")

            def left(protocol: str, what: str, service: str) -> int:
                flows = had[protocol]["open"][service]["b"]
                return flows - of_backend(load.report(), protocol, what, service, "b")

            process.wait_until(lambda: left("tcp", "broken", "web-dsr") == 0, "the resets", 20)
            for service in ("web", "web-dsr"):
                process.wait_until(lambda: left("udp", "moved", service) == 0, "the moves", 20)
            report = load.report()
            measured.at_most(
                "kept connections reset", of_backend(report, "tcp", "broken", "web", "b"), 0
            )
            newest(balancer, "member_down")  # control has read what came behind it
            moves = {one["name"]: one["moves"] for one in services(balancer)}
            for service, cause in (("web", "down"), ("web-dsr", "reset")):
                assert moves[service]["moved"][cause] == had["udp"]["open"][service]["b"]
            assert moves["web"]["reset"] == 0
            assert moves["web-dsr"]["reset"] == had["tcp"]["open"]["web-dsr"]["b"]
            measured.none(report, "lost", "moved", "broken", without="b")
        finally:
            set_link(lab, "b", "up")
            load.end()
        for service in (BY_PROTOCOL, PROMPT):
            balancer.wait_member(service.name, "b", "disposition", "new")
