# SPDX-License-Identifier: Apache-2.0
"""Bonds: several links as one port, with a switch on the other end that speaks LACP, or knows of no
bond. A link is pulled, and traffic goes on."""

import json
import time

import pytest

from conftest import SERVICES, owned_vips, running_lab
from holdfast_lab import owned_ports, process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.owned_ports import BondTopology
from holdfast_lab.topology import BALANCER_PORTS
from test_forwarding import assert_every_message_answered, target
from test_owned_ports import has_carrier, link_up, ports_of, running_on_ports

SWITCHOVER_SECONDS = 1.0
# LACP waits for two seconds that more links may join before it uses one (802.1AX, 6.4.4).
IN_USE_SECONDS = 15.0


@pytest.fixture(scope="module", params=("lacp", "active-backup"))
def lab(request):
    def made(run, **more):
        return BondTopology(run, mode=request.param, **more)

    with running_lab(owned_vips(SERVICES), made) as topology:
        yield topology


@pytest.fixture(scope="module")
def balancer(lab, binaries):
    def wait_settled(balancer):
        wait_for_links(lab, balancer)

    with running_on_ports(lab, binaries, wait_settled, 30.0) as balancer:
        yield balancer


def test_numbered_flows_through_bonds_are_answered_once_by_one_backend_each(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(one, connections=8, flows=8) for one in SERVICES]))
    load.wait_answered()
    assert_every_message_answered(load.stop(), balancer)


def test_the_twin_has_the_bonds_address_and_both_links_stay_in_use_while_nothing_is_sent(
    lab, balancer
):
    for port in BALANCER_PORTS:
        twin = owned_ports.TWINS[port.name]
        said = json.loads(lab.in_namespace("balancer", "ip", "-j", "link", "show", twin))[0]
        tap = json.loads(lab.in_namespace("balancer", "ip", "-j", "link", "show", lab.links(port)[0]))
        assert said["address"] == tap[0]["address"]
    time.sleep(4)  # the switch gives a link up when it has heard nothing for three seconds
    assert all(all(links.values()) for links in links_in_use(lab, balancer).values())


@pytest.mark.parametrize("leg", (0, 1), ids=("first", "second"))
def test_traffic_goes_on_while_a_link_is_down_and_the_link_is_used_again_when_it_is_back(
    lab, balancer, leg
):
    load = MessageLoad(lab, LoadPlan([target(one, connections=8, flows=8) for one in SERVICES]))
    load.wait_answered()
    down = [lab.links(port)[leg] for port in BALANCER_PORTS]
    pulled = time.time()
    for link in down:
        lab.set_leg(link, "down")
    process.wait_until(
        lambda: not any(
            links[link] for links in links_in_use(lab, balancer).values() for link in links
            if link in down
        ),
        "the pulled links to be out of use",
        SWITCHOVER_SECONDS,
    )  # fmt: skip
    answered = load.report()["udp"]["answered"]
    process.wait_until(lambda: load.report()["udp"]["answered"] > answered + 100, "answers")
    assert all(link_up(balancer, owned_ports.TWINS[port.name]) for port in BALANCER_PORTS)
    for link in down:
        lab.set_leg(link, "up")
    wait_for_links(lab, balancer)
    report = load.stop()
    for kind in ("tcp", "udp"):
        assert (report[kind]["moved"], report[kind]["broken"]) == ([], [])
    assert all(event[0] < pulled + SWITCHOVER_SECONDS for event in report["udp"]["lost"])


def test_a_bond_without_links_is_down_for_the_kernel_and_the_operator(lab, balancer):
    port = BALANCER_PORTS[0]
    twin = owned_ports.TWINS[port.name]
    for state, running in (("down", False), ("up", True)):
        for link in lab.links(port):
            lab.set_leg(link, state)
        for seen in (lambda: has_carrier(lab, twin), lambda: link_up(balancer, twin)):
            process.wait_until(
                lambda: seen() is running, f"{twin} to be {state}", IN_USE_SECONDS
            )
    balancer.wait_ready(30.0)
    wait_for_links(lab, balancer)


def links_in_use(lab, balancer) -> dict[str, dict[str, bool]]:
    """By port and link."""
    counters = ports_of(balancer)
    return {
        twin: {link: bool(counters[twin][f"link_up_{link}"]) for link in lab.links(port)}
        for port in BALANCER_PORTS
        for twin in (owned_ports.TWINS[port.name],)
    }


def wait_for_links(lab, balancer) -> None:
    process.wait_until(
        lambda: all(all(links.values()) for links in links_in_use(lab, balancer).values()),
        "every link to be in use",
        IN_USE_SECONDS,
    )
