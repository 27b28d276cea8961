# SPDX-License-Identifier: Apache-2.0
"""Bare metal: the real processes in a machine of their own, on network cards that DPDK drives.

The machine is QEMU's without KVM, so every figure here is an emulated computer's. The steps are those
of docs/bare-metal.md: IOMMU, huge pages, binding, addresses on the twins, start.
"""

import json
import subprocess
from pathlib import Path

import pytest

from conftest import NAT, owned_vips, running_lab
from holdfast_lab import bare_metal, guest, paced_datagrams, process
from holdfast_lab.bare_metal import BareMetalTopology, GuestBalancer, Router
from holdfast_lab.configuration import Service
from holdfast_lab.guest import Card, Guest
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.process import Process
from holdfast_lab.topology import BALANCER_LAN_V4, BALANCER_WAN_V4
from test_forwarding import target

PACED_PORT = 9000
PACED = Service("paced", "dsr", ("203.0.113.11",), {"a": 100}, ports=(f"udp/{PACED_PORT}",))
SERVICES = (NAT, PACED)
CARDS = {
    "e1000e-vfio": Card("e1000e", "vfio-pci"),
    "virtio-vfio": Card("virtio-net-pci", "vfio-pci"),
    "vmxnet3-uio": Card("vmxnet3", "uio_pci_generic"),
}
START_LIMIT_SECONDS = 15.0
LINK_LIMIT_SECONDS = 1.0
RATE = 10_000
SECONDS = 5
SELDOM = ("80", "5")  # five bursts a second, for 5 s
PROGRAM = ["/usr/bin/python3", str(Path(paced_datagrams.__file__))]


@pytest.fixture(scope="module")
def lab():
    if guest.lacks():
        pytest.skip(guest.lacks())
    with running_lab(owned_vips(SERVICES), BareMetalTopology) as topology:
        yield topology


@pytest.fixture(scope="module", params=CARDS)
def machine(request, lab, binaries, tmp_path_factory):
    """The guest, booted, with its cards bound; Holdfast does not run yet."""
    card = CARDS[request.param]
    image = bare_metal.make_image(tmp_path_factory.mktemp("guest"), binaries, card, SERVICES)
    machine = Guest(lab.run, lab.namespace("fabric"), card, image, lab.taps_of(card))
    try:
        machine.wait_up()
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="module")
def balancer(lab, machine):
    balancer = GuestBalancer(lab, machine)
    balancer.start()
    took = balancer.wait_ready()
    assert took < START_LIMIT_SECONDS, f"Holdfast took {took:.1f} s to start"
    return balancer


@pytest.fixture(scope="module")
def router(lab, balancer):
    router = Router(lab)
    try:
        balancer.start_bird()
        process.wait_until(router.is_established, "the BGP session", 30.0)
        yield router
    finally:
        router.stop()


def test_connections_and_datagrams_pass_through_the_cards(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT, connections=8, flows=8)]))
    load.wait_answered()
    report = load.stop()
    assert report["tcp"]["broken"] == [] and report["tcp"]["moved"] == []
    assert NewConnections(lab, NAT.vips[0], 2).result()["failed"] == 0
    assert all(worker["unaccounted"] == 0 for worker in balancer.status()["workers"])


# By uio there is one interrupt for everything, and it is left alone; QEMU's e1000e never raises the
# one that its driver sets up, and is looked into as often as before. Waits are short until each queue
# was seen to interrupt. Probes bring that about by chance only: their answers come before the worker
# waits.
def test_an_idle_worker_is_woken_by_the_cards_where_they_have_interrupts(lab, machine, balancer):
    card = machine.card

    def woken() -> int:
        return sum(one["counters"]["woken"] for one in balancer.status()["workers"])

    before = woken()
    senders = [
        subprocess.Popen(
            ["ip", "netns", "exec", lab.namespace(role), *PROGRAM, "send", address, "9", *SELDOM],
            stdout=subprocess.PIPE,
        )
        for role, address in (("client", BALANCER_WAN_V4), ("be-a", BALANCER_LAN_V4))
    ]
    if card.has_iommu and card.model.startswith("virtio"):
        process.wait_until(lambda: woken() > before + 3, "datagrams to wake the worker", 30.0)
    assert [sender.wait(60) for sender in senders] == [0, 0], "all was sent"
    if not card.model.startswith("virtio"):
        assert woken() == before


def test_no_thread_keeps_a_capability_once_the_cards_are_open(machine, balancer):
    said = machine.run("grep -h -e CapPrm -e CapEff /proc/$(pidof holdfast-dataplane)/task/*/status")
    assert set(said.split()) == {"CapPrm:", "CapEff:", "0" * 16}


def test_ten_thousand_packets_a_second_and_a_reload_lose_none_and_bgp_stays(lab, balancer, router):
    counter = Process(
        lab.run,
        lab.namespace("be-a"),
        [*PROGRAM, "count", PACED.vips[0], str(PACED_PORT)],
        lab.run.folder / "count.log",
        pipes=True,
    )
    assert counter.popen.stdout.readline() == b"ready\n"
    send = [*PROGRAM, "send", PACED.vips[0], str(PACED_PORT), str(RATE), str(SECONDS)]
    sender = subprocess.Popen(
        ["ip", "netns", "exec", lab.namespace("client"), *send], stdout=subprocess.PIPE
    )
    balancer.reload('"10.0.3.12", weight: 100', '"10.0.3.12", weight: 90')
    assert sender.poll() is None, "the reload was applied while packets were sent"
    sent = json.loads(sender.communicate(timeout=60)[0])
    balancer.status()  # an answer from the guest: what was on its way has passed
    received = json.loads(counter.popen.communicate(timeout=30)[0])["received"]
    assert received == sent["sent"], json.dumps(balancer.status())
    assert router.states() == ["start", "up"], "the session never went down"


@pytest.mark.parametrize("number,twin", enumerate(("wan0", "lan0")))
def test_a_pulled_cable_is_seen_and_so_is_its_return_and_bgp_stays(
    lab, machine, balancer, router, number, twin
):
    for up in (False, True):
        _, told = balancer.link_seen(twin)
        machine.set_link(number, up)
        took = process.wait_until(
            lambda: balancer.link_seen(twin) == (int(up), told + 1),
            f"{twin} to be {'up' if up else 'down'}",
        )
        assert took < LINK_LIMIT_SECONDS
        assert balancer.view_ports()[twin]["link_up"] is up
    balancer.wait_ready()
    assert NewConnections(lab, NAT.vips[0], 1).result()["failed"] == 0
    assert router.states() == ["start", "up"], "the session never went down"
