# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about flows as `holdfast replay` transmits them, decoded and recomputed by Scapy: whole
to the backend in `dsr`, translated with what they quote in `nat`, from both sides."""

import sys
from pathlib import Path

import pytest
from scapy.all import (
    ICMP,
    IP,
    TCP,
    UDP,
    Ether,
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    Raw,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

FAMILIES = (4, 6)
TRANSPORTS = {"tcp": TCP(sport=40000, flags="S", seq=77), "udp": UDP(sport=40000)}
ROUTER = {4: "192.0.2.77", 6: "2001:db8:9::77"}
LAN_ROUTER = {4: "10.0.3.99", 6: "2001:db8:3::99"}
MESSAGES = {
    4: [ICMP(type=3, code=4, nexthopmtu=1400), ICMP(type=11), ICMP(type=3, code=3)],
    6: [ICMPv6PacketTooBig(mtu=1400), ICMPv6TimeExceeded(), ICMPv6DestUnreach(code=4)],
}


@pytest.fixture
def replay(binaries, tmp_path) -> Replay:
    return Replay(binaries, captures.configuration(tmp_path))


def ip_of(packet):
    return packet.getlayer(IP) or packet.getlayer(IPv6)


def upper_of(packet):
    return packet.getlayer(TCP) or packet.getlayer(UDP)


def error_about(lost, family: int, teller: str, message, size: int):
    """What `teller` says to who sent the packet `lost`, with `size` bytes behind its IP header."""
    ip = ip_of(lost)
    header = 20 if family == 4 else 40
    frame = Ether(src=captures.NEXT_HOP_MAC, dst=captures.OUR_MAC)
    frame /= captures.network(family, teller, ip.src)
    return captures.built(frame / message.copy() / Raw(bytes(ip)[: header + size]))


def icmp_is_sound(packet, family: int) -> bool:
    """Whether Scapy, summing anew over the same bytes, finds the same ICMP and IP checksums."""
    again = packet.copy()
    raw = bytes(packet)
    if family == 4:
        del again[IP].chksum
        del again[ICMP].chksum
    else:
        del again.getlayer(IPv6).payload.cksum
    # The quote keeps its own checksums: it must not be built anew.
    body = raw[14 + (20 if family == 4 else 40) + 8 :]
    layer = again[ICMP] if family == 4 else again.getlayer(IPv6).payload
    layer.remove_payload()
    return bytes(again / Raw(body)) == raw


def quoted_of(packet, family: int) -> bytes:
    return bytes(packet)[14 + (20 if family == 4 else 40) + 8 :]


def segment_is_sound(quote: bytes, family: int) -> bool:
    """Whether the checksums of a quoted whole packet are right."""
    packet = (IP if family == 4 else IPv6)(quote)
    again = packet.copy()
    del upper_of(again).chksum
    if family == 4:
        del again[IP].chksum
    return bytes(again) == quote


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("size", [8, 1000])
def test_nat_translates_errors_of_both_sides(replay, family, transport, size):
    question = captures.request("nat", family, TRANSPORTS[transport], b"question")
    forwarded = replay.frames([question]).only(0)
    reply = captures.answer_to(forwarded, payload=b"answer")
    answer = replay.frames([question, reply]).only(1)
    backend = ip_of(forwarded).dst
    for message in MESSAGES[family]:
        from_client = error_about(answer, family, ROUTER[family], message, size)
        from_backend = error_about(forwarded, family, LAN_ROUTER[family], message, size)
        result = replay.frames([question, reply, from_client, from_backend])
        assert [v["verdict"] for v in result.verdicts] == ["forward"] * 4
        assert len({v["backend"] for v in result.verdicts}) == 1
        port = captures.WEB if transport == "tcp" else captures.DNS
        assert all(transport in v["icmp_error"] for v in result.verdicts[2:])
        assert str(port) in result.verdicts[2]["icmp_error"]

        inside, outside = result.only(2), result.only(3)
        assert (ip_of(inside).src, ip_of(inside).dst) == (ROUTER[family], backend)
        client, vip = captures.CLIENT[family], captures.VIP["nat", family]
        assert (ip_of(outside).src, ip_of(outside).dst) == (vip, client)
        for packet, sent in ((inside, reply), (outside, question)):
            assert icmp_is_sound(packet, family)
            quote = quoted_of(packet, family)
            was = bytes(ip_of(sent))
            if family == 4:  # the packet that was lost had made a hop
                assert quote[:8] == was[:8] and quote[12:20] == was[12:20]
            else:
                assert quote[:7] == was[:7] and quote[8:40] == was[8:40]
            header = 20 if family == 4 else 40
            assert quote[header:] == was[header : header + size]
            if size > 8:
                assert segment_is_sound(quote, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_dsr_carries_errors_whole_to_the_backend_of_the_flow(replay, family):
    frames, lost = [], []
    for port in range(40000, 40020):  # what one client's errors may be at once is 25
        syn = captures.request("dsr", family, TCP(sport=port, flags="S"))
        answer = captures.answer_to(syn, payload=b"x" * 50)  # the backend's own, past the balancer
        lost.append(answer)
        frames.append(syn)
    for message in MESSAGES[family]:
        errors = [error_about(packet, family, ROUTER[family], message, 8) for packet in lost]
        result = replay.frames(frames + errors)
        for number, error in enumerate(errors):
            verdict = result.verdicts[len(frames) + number]
            assert verdict["verdict"] == "forward"
            assert verdict["backend"] == result.verdicts[number]["backend"]
            assert bytes(result.only(len(frames) + number))[12:] == bytes(error)[12:]


def test_errors_that_are_not_believed_or_nobodys_are_dropped(replay):
    syn = captures.request("dsr", 4, TCP(sport=40000, flags="S"))
    answer = captures.answer_to(syn)
    stranger = captures.answer_to(captures.request("dsr", 4, TCP(sport=1, flags="S")))
    too_small = ICMP(type=3, code=4, nexthopmtu=100)
    quench = ICMP(type=4)
    unreachable = ICMP(type=3, code=1)
    damaged = error_about(answer, 4, ROUTER[4], unreachable, 8)
    damaged[ICMP].chksum ^= 1
    elsewhere = error_about(answer, 4, ROUTER[4], unreachable, 8)
    elsewhere[IP].dst = captures.VIP["nat", 4]
    del elsewhere[IP].chksum
    frames = [
        syn,
        error_about(answer, 4, ROUTER[4], too_small, 8),
        error_about(answer, 4, ROUTER[4], quench, 8),
        error_about(answer, 4, ROUTER[4], unreachable, 7),
        error_about(stranger, 4, ROUTER[4], unreachable, 8),
        damaged,
        elsewhere,
    ]
    result = replay.frames(frames)
    assert [v["reason"] for v in result.verdicts[1:]] == [
        "icmp_implausible",
        "icmp_unsupported",
        "truncated",
        "to_peer",
        "bad_checksum",
        "icmp_implausible",
    ]


def test_errors_are_forwarded_at_a_limited_rate(replay):
    syn = captures.request("dsr", 4, TCP(sport=40000, flags="S"))
    error = error_about(captures.answer_to(syn), 4, ROUTER[4], ICMP(type=11), 8)
    # About one client's flows a quarter of the whole: 50 at once, 250 a second.
    result = replay.frames([syn] + [error] * 51 + [error] * 6, times=[0] * 52 + [0.024] * 6)
    reasons = [v["reason"] for v in result.verdicts]
    assert reasons == [None] * 51 + ["icmp_rate_limited"] + [None] * 6
