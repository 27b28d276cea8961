# SPDX-License-Identifier: Apache-2.0
"""Two workers behind cards that spread what they receive (RSS): virtio in a machine of its own, whose
hash QEMU computes by itself.

Load that waits for its answers alone: QEMU 7.2 holds up a queue for good when it is full while
another one's frames are meant for it.
"""

import pytest

from conftest import NAT, owned_vips, running_lab
from holdfast_lab import bare_metal, guest
from holdfast_lab.bare_metal import BareMetalTopology, GuestBalancer
from holdfast_lab.guest import Card, Guest
from holdfast_lab.loads import NewConnections

CARD = Card("virtio-net-pci", "vfio-pci", queues=2)


@pytest.fixture(scope="module")
def lab():
    if guest.lacks():
        pytest.skip(guest.lacks())
    with running_lab(owned_vips((NAT,)), BareMetalTopology) as topology:
        yield topology


@pytest.fixture(scope="module")
def balancer(lab, binaries, tmp_path_factory):
    image = bare_metal.make_image(tmp_path_factory.mktemp("guest"), binaries, CARD, (NAT,))
    machine = Guest(lab.run, lab.namespace("fabric"), CARD, image, lab.taps_of(CARD))
    try:
        machine.wait_up()
        balancer = GuestBalancer(lab, machine)
        balancer.start()
        balancer.wait_ready()
        yield balancer
    finally:
        machine.stop()


def test_the_start_says_how_cards_spread_what_they_receive(balancer):
    said = balancer.spread()
    assert set(said) == {"wan0", "lan0"}
    assert set(said.values()) == {
        "queues=2 transmit=2 hash=ipv4,frag4,tcp4,udp4,ipv6,frag6,tcp6,udp6 table=128"
        " flows=to their owners"
    }


def test_packets_of_both_sides_arrive_at_the_worker_that_owns_them(lab, balancer):
    """Half of the client's would cross by a hash of our own: a quarter of all frames."""
    before = balancer.counters()
    done = NewConnections(lab, NAT.vips[0], 3).result()
    after = balancer.counters()
    seen = {name: after[name] - before[name] for name in after}
    assert done["failed"] == 0 and seen["forwarded_frames"] > 1000
    crossed = seen["handed_over_frames"] / seen["forwarded_frames"]
    assert crossed < 0.05, f"{crossed:.3f} of {seen}"
    assert all(worker["unaccounted"] == 0 for worker in balancer.status()["workers"])
