# SPDX-License-Identifier: Apache-2.0
"""Captures with VLAN tags through `holdfast replay`: what is a port's own, and what leaves by it.
Tags are read by Scapy; behind them stands what leaves without VLANs."""

import sys
from pathlib import Path

import pytest
from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay, assert_sound, write_capture  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

# As the configuration writes them, and the tags.
PORTS = {
    "": (),
    "100": ((0x8100, 100),),
    "'200.100'": ((0x88A8, 200), (0x8100, 100)),
}


def tagged(frame, tags, prio=0):
    """The frame with tags; `tags` are (type, VLAN) from the outside in."""
    inside = frame.payload
    outside = Ether(src=frame.src, dst=frame.dst)
    for kind, vlan in tags:
        outside /= (Dot1AD if kind == 0x88A8 else Dot1Q)(vlan=vlan, prio=prio)
    return captures.built(outside / inside)


def tags_of(packet):
    found, kind, layer = [], packet.type, packet.payload
    while isinstance(layer, Dot1Q):
        assert (layer.prio, layer.id) == (0, 0)
        found.append((kind, layer.vlan))
        kind, layer = layer.type, layer.payload
    return tuple(found), bytes(layer)


def frames():
    return [
        captures.request(mode, family, upper, b"payload")
        for mode in ("nat", "dsr")
        for family in (4, 6)
        for upper in (TCP(sport=40000, flags="S"), UDP(sport=40001))
    ]


@pytest.mark.parametrize("lan", PORTS)
@pytest.mark.parametrize("wan", PORTS)
def test_frames_leave_with_the_tags_of_their_egress_port(binaries, tmp_path, wan, lan):
    plain = Replay(binaries, captures.configuration(tmp_path, "plain.yaml")).frames(frames())
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=(wan, lan)))
    result = replay.frames([tagged(frame, PORTS[wan], prio=5) for frame in frames()])
    assert [v["verdict"] for v in result.verdicts] == ["forward"] * len(frames())
    for number in range(len(frames())):
        packet, expected = result.only(number), plain.only(number)
        assert_sound(packet)
        assert tags_of(packet) == (PORTS[lan], bytes(expected.payload))


def test_an_answer_goes_back_with_the_tags_of_the_clients_port(binaries, tmp_path):
    wan = "'200.100'"
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=(wan, "7")))
    first = tagged(captures.request("nat", 4, TCP(sport=40000, flags="S")), PORTS[wan])
    forwarded = replay.frames([first]).only(0)
    # All records of a capture come in by one port.
    answer = tagged(captures.answer_to(Ether(bytes(forwarded))), PORTS[wan])
    packet = replay.frames([first, answer]).only(1)
    assert_sound(packet)
    assert tags_of(packet)[0] == PORTS[wan]
    assert (packet[IP].src, packet[IP].dst) == (captures.VIP["nat", 4], captures.CLIENT[4])


@pytest.mark.parametrize("wan", PORTS)
def test_other_tags_are_vlan_unknown_for_a_vip_and_else_the_kernels(binaries, tmp_path, wan):
    others = [tags for vlan, tags in PORTS.items() if vlan != wan]
    others += [((0x8100, 101),), ((0x88A8, 100),), ((0x8100, 200), (0x8100, 100))]
    vip = captures.request("nat", 4, TCP(sport=1, flags="S"))
    foreign = captures.built(captures.link() / IP(src="198.51.100.7", dst="192.0.2.99") / UDP())
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=(wan, "")))
    result = replay.frames([tagged(vip, tags) for tags in others])
    assert {(v["verdict"], v["reason"]) for v in result.verdicts} == {("drop", "vlan_unknown")}
    result = replay.frames([tagged(foreign, tags) for tags in others])
    assert {v["verdict"] for v in result.verdicts} == {"kernel"}


def test_pings_and_arp_are_answered_in_their_vlan(binaries, tmp_path):
    wan = "'200.100'"
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=(wan, "")))
    vip = captures.VIP["nat", 4]
    ping = captures.link() / IP(src=captures.CLIENT[4], dst=vip) / ICMP(id=1) / b"ping"
    arp = Ether(src=captures.CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="203.0.113.1", pdst=vip)
    result = replay.frames([tagged(captures.built(frame), PORTS[wan]) for frame in (ping, arp)])
    assert [v["verdict"] for v in result.verdicts] == ["reply", "reply"]
    for number in range(2):
        assert tags_of(result.only(number))[0] == PORTS[wan]
    assert result.only(0)[ICMP].type == 0
    assert result.only(1)[ARP].op == 2


def test_a_priority_tag_is_no_vlan_and_goes_no_further(binaries, tmp_path):
    frame = captures.request("dsr", 4, TCP(sport=1, flags="S"))
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=("", "9")))
    packet = replay.frames([tagged(frame, ((0x8100, 0),), prio=7)]).only(0)
    assert tags_of(packet) == (((0x8100, 9),), bytes(frame.payload))


def test_a_capture_from_above_the_vlan_is_of_the_port(binaries, tmp_path):
    frame = captures.request("dsr", 4, TCP(sport=1, flags="S"))
    replay = Replay(binaries, captures.configuration(tmp_path, vlans=("100", "'200.100'")))
    capture = tmp_path / "raw.pcap"
    write_capture(capture, [bytes(frame.payload)], link=101)
    packet = replay.run(capture).only(0)
    assert tags_of(packet) == (PORTS["'200.100'"], bytes(frame.payload))
