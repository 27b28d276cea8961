# SPDX-License-Identifier: Apache-2.0
"""A way to the backend that is narrower than the client's and says nothing of it: a switch drops
what is longer than 1400 bytes. With the backend's `mtu` real kernels get a long transfer through in
every mode, by a clamped MSS or by what Holdfast tells them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast_lab import process, run_record, transfer
from holdfast_lab.backends import Backend
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration, Service
from holdfast_lab.process import Process
from holdfast_lab.topology import Topology

PORT = 9000
MTU = 1400
BYTES = 3_000_000
VNI = 4711
# Mode, family of the VIP, the service's tunnel, bytes of headers outside the client's packet.
WAYS = [
    ("nat", 4, "", 0),
    ("nat", 6, "", 0),
    ("dsr", 4, "", 0),
    ("dsr", 6, "", 0),
    ("ipip", 4, "", 20),
    ("ipip", 6, "", 20),
    ("gre", 4, "", 24),
    ("gue", 4, "", 28),
    ("vxlan", 4, f"vni: {VNI}", 50),
]


def service(number: int) -> Service:
    mode, family, tunnel, _ = WAYS[number]
    vip = f"203.0.113.{40 + number}" if family == 4 else f"2001:db8::{40 + number}"
    outer = 4 if tunnel or mode in ("ipip", "gre", "gue") else 0
    name = f"{mode}-{family}"
    return Service(
        name, mode, (vip,), {"a": 100}, (f"tcp/{PORT}",), tunnel=tunnel, outer=outer, mtu=MTU
    )


SERVICES = tuple(service(number) for number in range(len(WAYS)))
SILENT = replace(SERVICES[2], name="silent", vips=("203.0.113.60",), mtu=0)


def serve(topology: Topology) -> None:
    sink = Process(
        topology.run,
        topology.backend("a"),
        ["/usr/bin/python3", transfer.__file__, "serve", str(PORT)],
        topology.run.folder / "transfer.out",
    )
    process.wait_until(lambda: "ready" in sink.said(), "the other end of transfers")


@pytest.fixture(scope="module")
def lab():
    run = run_record.RunRecord.begin()
    try:
        vips = tuple(vip for one in (*SERVICES, SILENT) for vip in one.vips if one.mode != "nat")
        topology = Topology(run, backends=("a",), dsr_vips=vips).build()
        topology.in_namespace("fabric", "ip", "link", "set", "to-a", "mtu", str(MTU))
        server = Backend(topology, "a").start()
        server.wait_ready()
        server.decapsulate()
        topology.make_vxlan_ends("a", VNI)
        serve(topology)
        yield topology
    finally:
        run.finish()


@pytest.fixture(scope="module")
def narrow(lab, binaries):
    name = f"test-{lab.run.id}-mtu"
    configuration = Configuration(lab.run.folder / f"holdfast-{name}", name, (*SERVICES, SILENT))
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


# Links of 9000 bytes from the client to the backend.
JUMBO = 9000
LONG = tuple(
    replace(SERVICES[number], name=f"long-{SERVICES[number].name}", mtu=0) for number in (0, 3, 8)
)
JUMBO_DEVICES = {
    "client": ("eth0",),
    "fabric": ("to-client", "to-veth-wan", "to-veth-lan", "to-a"),
    "balancer": ("veth-wan", "veth-lan"),
    "be-a": ("eth0",),
}


@pytest.fixture
def jumbo_lab():
    run = run_record.RunRecord.begin()
    try:
        vips = tuple(vip for one in LONG for vip in one.vips if one.mode != "nat")
        topology = Topology(run, backends=("a",), dsr_vips=vips).build()
        for role, devices in JUMBO_DEVICES.items():
            for device in devices:
                topology.in_namespace(role, "ip", "link", "set", device, "mtu", str(JUMBO))
        Backend(topology, "a").start().wait_ready()
        topology.make_vxlan_ends("a", VNI)
        serve(topology)
        yield topology
    finally:
        run.finish()


def send(lab, vip: str, seconds: float) -> dict:
    program = str(Path(transfer.__file__))
    answer = lab.in_namespace(
        "client", "/usr/bin/python3", program, "send", vip, str(PORT), str(BYTES), str(seconds)
    )
    return json.loads(answer)


def counters(balancer) -> dict:
    return balancer.status()["workers"][0]["counters"]


@pytest.mark.parametrize("number", range(len(WAYS)), ids=lambda number: SERVICES[number].name)
def test_a_long_transfer_completes_over_a_narrow_way(lab, narrow, number):
    mode, family, _, overhead = WAYS[number]
    before = counters(narrow)
    seen = send(lab, SERVICES[number].vips[0], 10)
    after = counters(narrow)
    assert seen["same"], seen
    most = MTU - overhead - (40 if family == 4 else 60)
    assert 0 < seen["segment"] <= most
    told = after["too_big_sent"] - before["too_big_sent"]
    clamped = after["mss_clamped"] - before["mss_clamped"]
    if mode == "nat":
        assert told == 0 and clamped >= 2, (told, clamped)  # more when a SYN was sent again
    else:
        assert told >= 1 and clamped == 0, (told, clamped)
    assert all(worker["unaccounted"] == 0 for worker in narrow.status()["workers"])


def test_without_the_backends_mtu_the_transfer_stalls(lab, narrow):
    seen = send(lab, SILENT.vips[0], 3)
    assert "error" in seen and not seen["same"]


def test_jumbo_frames_pass_where_every_link_carries_them(jumbo_lab, binaries):
    name = f"test-{jumbo_lab.run.id}-jumbo"
    configuration = Configuration(jumbo_lab.run.folder / f"holdfast-{name}", name, LONG)
    balancer = Balancer(jumbo_lab, binaries, configuration).start()
    try:
        balancer.wait_ready()
        for service in LONG:
            seen = send(jumbo_lab, service.vips[0], 10)
            assert seen["same"], (service.name, seen)
            assert seen["segment"] > 8800, (service.name, seen)
        status = balancer.status()
        assert all(worker["unaccounted"] == 0 for worker in status["workers"])
        assert all(port["counters"]["transmit_errors"] == 0 for port in status["ports"])
    finally:
        balancer.stop()
