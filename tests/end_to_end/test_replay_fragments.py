# SPDX-License-Identifier: Apache-2.0
"""Fragments as Scapy makes them, through `holdfast replay`, put together again by Scapy: in any
order a datagram becomes what its whole packet would have become, towards one backend."""

import random
import sys
from pathlib import Path

import pytest
from scapy.all import (
    IP,
    TCP,
    UDP,
    Ether,
    IPv6,
    IPv6ExtHdrFragment,
    defragment,
    defragment6,
    fragment,
    fragment6,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay, checksums  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

UPPERS = {"udp": UDP(sport=5000), "syn": TCP(sport=5000, flags="S", options=[("MSS", 1460)])}


@pytest.fixture
def replay(binaries, tmp_path) -> Replay:
    return Replay(binaries, captures.configuration(tmp_path))


def fragments_of(frame, number: int, size: int = 400) -> list:
    """Ethernet frames, in order."""
    link = Ether(src=frame.src, dst=frame.dst)
    if IP in frame:
        ip = frame[IP].copy()
        ip.id = number
        return [Ether(bytes(link / piece)) for piece in fragment(ip, size)]
    ip = frame[IPv6]
    whole = IPv6(src=ip.src, dst=ip.dst) / IPv6ExtHdrFragment(id=number) / ip.payload
    return [Ether(bytes(link / piece)) for piece in fragment6(whole, size + 48)]


def together(frames):
    """The datagram that a receiver makes of what was sent."""
    if IP in frames[0]:
        (whole,) = [packet for packet in defragment([frame[IP] for frame in frames])]
        return IP(bytes(whole))
    # Scapy 2.5 puts those of IPv6 together in the order in which it gets them.
    frames = sorted(frames, key=lambda frame: frame[IPv6ExtHdrFragment].offset)
    return IPv6(bytes(defragment6([frame[IPv6] for frame in frames])))


@pytest.mark.parametrize("upper", UPPERS)
@pytest.mark.parametrize("family", (4, 6))
@pytest.mark.parametrize("mode", ("nat", "dsr"))
def test_in_any_order_they_make_the_whole_packet(replay, mode, family, upper):
    whole = captures.request(mode, family, UPPERS[upper], bytes(range(256)) * 5)
    for seed in range(6):
        pieces = fragments_of(whole, 100 + seed)
        assert len(pieces) > 3
        random.Random(seed).shuffle(pieces)
        result = replay.frames(pieces + [whole])
        assert {v["verdict"] for v in result.verdicts} == {"forward"}
        assert len({v["backend"] for v in result.verdicts}) == 1
        sent = [record.packet for record in result.out[:-1]]
        received, expected = together(sent), result.out[-1].packet.payload
        assert bytes(received.payload) == bytes(expected.payload)
        assert (received.src, received.dst) == (expected.src, expected.dst)
        assert all(checksums(Ether() / received).values())


@pytest.mark.parametrize("family", (4, 6))
def test_replies_of_a_backend_go_back_in_fragments(replay, family):
    asked = captures.request("nat", family, UDP(sport=5000), b"question")
    forwarded = replay.frames([asked]).only(0)
    answer = captures.answer_to(forwarded, payload=bytes(range(256)) * 5)
    pieces = fragments_of(answer, 7)
    result = replay.frames([asked] + pieces[::-1] + [answer])
    assert {v["verdict"] for v in result.verdicts} == {"forward"}
    received = together([record.packet for record in result.out[1:-1]])
    expected = result.out[-1].packet.payload
    assert bytes(received.payload) == bytes(expected.payload)
    assert received.dst == captures.CLIENT[family] and received.src == captures.VIP["nat", family]


def test_fragments_that_never_fit_have_a_name(replay):
    whole = captures.request("dsr", 4, UDP(sport=5000), bytes(1200))
    pieces = fragments_of(whole, 1)
    overlapping = pieces[1].copy()
    overlapping[IP].frag -= 1
    del overlapping[IP].chksum
    frames = [pieces[0], Ether(bytes(overlapping)), pieces[1], pieces[2]]
    result = replay.frames(frames)
    assert [v["reason"] for v in result.verdicts] == [None] + ["fragment_overlap"] * 3
    late = replay.frames(pieces[1:] + [whole], times=[1.0] * (len(pieces) - 1) + [2.5])
    assert {v["reason"] for v in late.verdicts[:-1]} == {"fragment_timeout"}
