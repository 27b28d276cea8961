# SPDX-License-Identifier: Apache-2.0
"""The kernel's guaranteed share: what routers say to it arrives while a flood is ten times what it
is given of anything else."""

import json
import subprocess
from pathlib import Path

import pytest

from conftest import NAT, running_lab
from holdfast_lab import kernel_load, process
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration
from holdfast_lab.owned_ports import TapTopology
from holdfast_lab.process import Process
from holdfast_lab.topology import BALANCER_WAN_V4
from test_owned_ports import ports_of

BALANCER_WAN_V6 = "2001:db8::2"
SECONDS = 4
RATE = 200_000
PROGRAM = ["/usr/bin/python3", str(Path(kernel_load.__file__))]


@pytest.fixture(scope="module")
def lab():
    with running_lab((), TapTopology) as topology:
        yield topology


@pytest.fixture(scope="module")
def balancer(lab, binaries):
    name = f"test-{lab.run.id}"
    configuration = Configuration(
        lab.run.folder / f"holdfast-{name}", name, (NAT,), ports=lab.ports()
    )
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        lab.connect()
        # What stands in the cable's own queue is not the balancer's to lose.
        lab.in_namespace("fabric", "ip", "link", "set", "to-veth-wan", "txqueuelen", "200000")
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


@pytest.fixture(scope="module")
def server(lab, balancer):
    log = lab.run.folder / "kernel-load.log"
    server = Process(
        lab.run, lab.namespace("balancer"), [*PROGRAM, "serve", BALANCER_WAN_V4], log
    )
    process.wait_until(lambda: "ready" in server.said(), f"the server: see {log}")
    yield server
    server.terminate()


def start(lab, *words) -> subprocess.Popen:
    return subprocess.Popen(
        ["ip", "netns", "exec", lab.namespace("fabric"), *PROGRAM, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
    )


def result_of(program: subprocess.Popen) -> dict:
    out, _ = program.communicate(timeout=SECONDS + 30)
    assert program.returncode == 0
    return json.loads(out)


def test_bgp_bfd_arp_and_nd_lose_nothing_in_a_flood_ten_times_the_budget(lab, balancer, server):
    before = ports_of(balancer)["wan0"]
    flood = start(lab, "flood", BALANCER_WAN_V4, RATE, SECONDS)
    asked = start(lab, "ask", BALANCER_WAN_V4, BALANCER_WAN_V6, "wan", SECONDS)
    answers = result_of(asked)
    assert result_of(flood)["sent"] > 0
    process.wait_until(lambda: not growing(balancer), "the flood to be over")
    after = ports_of(balancer)["wan0"]
    gained = {name: after[name] - before[name] for name in after}
    for name, seen in answers.items():
        assert seen["lost"] == 0 and seen["asked"] > 50, name
    guaranteed = ("neighbor", "routing", "management", "member")
    assert all(gained[f"kernel_dropped_{name}"] == 0 for name in guaranteed)
    delivered = gained["kernel_received"] - sum(seen["asked"] for seen in answers.values())
    assert gained["kernel_dropped_other"] >= 9 * delivered, "the flood was ten times the budget"
    assert balancer.members()[("web", "a")]["disposition"] == "new", "probes went on"
    assert balancer.status()["workers"][0]["unaccounted"] == 0


def growing(balancer) -> bool:
    first = ports_of(balancer)["wan0"]["received"]
    return ports_of(balancer)["wan0"]["received"] - first > 100
