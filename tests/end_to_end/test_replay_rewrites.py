# SPDX-License-Identifier: Apache-2.0
"""What `holdfast replay` transmits, decoded and recomputed by Scapy: both modes, families and
directions; only what a mode may change has changed."""

import sys
from pathlib import Path

import pytest
from scapy.all import IP, TCP, UDP, Ether, IPv6

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay, assert_sound, checksums, untouched  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

FAMILIES = (4, 6)
TRANSPORTS = {"tcp": TCP(sport=40000, flags="S", seq=77), "udp": UDP(sport=40000)}


@pytest.fixture
def replay(binaries, tmp_path) -> Replay:
    return Replay(binaries, captures.configuration(tmp_path))


def ip_of(packet):
    return packet.getlayer(IP) or packet.getlayer(IPv6)


def hops(packet) -> int:
    ip = ip_of(packet)
    return ip.ttl if isinstance(ip, IP) else ip.hlim


def address_of(verdict: dict, family: int) -> str:
    return captures.BACKENDS[verdict["backend"][:-1]][family]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nat_translates_both_directions(replay, family, transport):
    upper = TRANSPORTS[transport]
    first = captures.request("nat", family, upper, b"odd" if transport == "udp" else b"")
    forwarded = replay.frames([first]).only(0)

    frames = [first, captures.answer_to(forwarded, payload=b"answer")]
    if transport == "tcp":
        data = TCP(sport=40000, flags="A", seq=78)
        frames.append(captures.request("nat", family, data, b"GET /"))
    result = replay.frames(frames)
    assert [v["verdict"] for v in result.verdicts] == ["forward"] * len(frames)
    assert {v["service"] for v in result.verdicts} == {"nat"}
    assert len({v["backend"] for v in result.verdicts}) == 1

    for number, frame in enumerate(frames):
        packet = result.only(number)
        assert_sound(packet)
        assert untouched(packet, True) == untouched(frame, True)
        assert hops(packet) == hops(frame) - 1
        ip, layer = ip_of(packet), packet.getlayer(TCP) or packet.getlayer(UDP)
        if number == 1:
            assert (ip.src, ip.dst) == (captures.VIP["nat", family], captures.CLIENT[family])
            assert (layer.sport, layer.dport) == (first.dport, first.sport)
        else:
            assert ip.dst == address_of(result.verdicts[number], family)
            assert layer.dport == captures.NAT_PORT
            assert (ip.src, layer.sport) == (ip_of(forwarded).src, forwarded.sport)
    assert ip_of(forwarded).src.startswith("10.0.3." if family == 4 else "2001:db8:3::1")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_dsr_changes_nothing_but_mac_addresses(replay, family, transport):
    frame = captures.request("dsr", family, TRANSPORTS[transport], b"payload")
    result = replay.frames([frame])
    packet = result.only(0)
    assert result.verdicts[0]["service"] == "dsr"
    assert result.verdicts[0]["backend"][-1] == str(family)
    assert_sound(packet)
    assert bytes(packet)[12:] == bytes(frame)[12:]


@pytest.mark.parametrize("mode", ["nat", "dsr"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_length_of_payload_keeps_its_checksum(replay, mode, family):
    lengths = list(range(0, 70)) + [1399, 1400, 8900, 65000]
    frames = [
        captures.request(mode, family, UDP(sport=500 + length), (b"\xff\x01" * length)[:length])
        for length in lengths
    ]
    result = replay.frames(frames)
    assert [v["verdict"] for v in result.verdicts] == ["forward"] * len(frames)
    for number, frame in enumerate(frames):
        assert_sound(result.only(number))
        assert untouched(result.only(number), mode == "nat") == untouched(frame, mode == "nat")


def test_padding_is_cut_and_udp_without_checksum_stays(replay):
    frame = captures.request("nat", 4, UDP(sport=5, chksum=0), b"x")
    frame[UDP].chksum = 0
    padded = bytes(frame) + bytes(60 - len(frame)) + b"trailer"
    result = replay.frames([padded])
    assert result.only(0)[UDP].chksum == 0
    assert len(result.out[0].data) == len(bytes(frame))
    assert_sound(result.only(0))


def test_wrong_transport_checksum_stays_wrong(replay):
    frame = captures.request("nat", 4, UDP(sport=5), b"x")
    frame[UDP].chksum ^= 0x0100
    result = replay.frames([frame])
    assert checksums(result.only(0)) == {"IP": True, "UDP": False}


def test_options_and_extension_headers_are_passed_over(replay):
    frames = [n.frame for n in captures.valid_frames() if n.name in ("v4 options", "v6 options")]
    result = replay.frames(frames)
    for number, frame in enumerate(frames):
        packet = result.only(number)
        assert_sound(packet)
        assert untouched(packet, True) == untouched(frame, True)
        assert packet[TCP].dport == captures.NAT_PORT


def test_unknown_segment_is_reset_towards_the_client(replay):
    for family in FAMILIES:
        frame = captures.request("nat", family, TCP(sport=4, flags="A", seq=5, ack=4242), b"lost")
        result = replay.frames([frame])
        assert result.verdicts[0]["verdict"] == "reply" and result.verdicts[0]["backend"] is None
        packet = result.only(0)
        assert all(checksums(packet).values())
        assert (ip_of(packet).src, ip_of(packet).dst) == (ip_of(frame).dst, ip_of(frame).src)
        assert packet[TCP].flags == "R" and packet[TCP].seq == 4242


def test_answers_pings_and_neighbours(replay):
    named = {n.name: n.frame for n in captures.valid_frames()}
    frames = [named[name] for name in ("ping", "ping6", "arp", "solicitation")]
    result = replay.frames(frames)
    assert [v["verdict"] for v in result.verdicts] == ["reply"] * 4
    for number, frame in enumerate(frames):
        packet = result.only(number)
        assert packet.dst == captures.CLIENT_MAC
        assert all(checksums(packet).values())
    assert result.only(2).psrc == captures.VIP["nat", 4]
    assert result.only(2).hwsrc == captures.OUR_MAC
    assert result.only(3).lladdr == captures.OUR_MAC


def test_foreign_packets_go_to_the_kernel(replay):
    named = {n.name: n.frame for n in captures.valid_frames()}
    result = replay.frames([named["foreign"], Ether(bytes(12) + b"\x88\xcc" + bytes(46))])
    assert [v["verdict"] for v in result.verdicts] == ["kernel", "kernel"]
    assert result.out == []


def test_next_hop_mac_and_ports_can_be_named(replay):
    frame = captures.request("dsr", 4, TRANSPORTS["tcp"])
    result = replay.frames([frame], "--next-hop-mac", "02:aa:bb:cc:dd:ee", "--port", "lan0")
    assert result.only(0).dst == "02:aa:bb:cc:dd:ee"


def test_match_mac_drops_what_is_for_other_stations(replay):
    ours = captures.request("dsr", 4, TRANSPORTS["tcp"])
    other, everybody = ours.copy(), ours.copy()
    other.dst, everybody.dst = "02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff"
    frames = [ours, other, everybody]
    strict = replay.frames(frames, "--match-mac")
    assert [v["reason"] for v in strict.verdicts] == [None, "not_our_mac", "not_our_mac"]
    lenient = replay.frames(frames)
    assert [v["verdict"] for v in lenient.verdicts] == ["forward"] * 3


def test_a_backend_that_is_down_gets_no_new_flow(replay):
    frames = [
        captures.request(mode, 4, TCP(sport=port, flags="S"))
        for mode in ("nat", "dsr")
        for port in range(2000, 2300)
    ]
    before = replay.frames(frames)
    after = replay.frames(frames, "--down", "nat/a4", "--down", "dsr/b4")
    for old, new in zip(before.verdicts, after.verdicts):
        dead = {"nat": "a4", "dsr": "b4"}[old["service"]]
        assert new["backend"] != dead
        if old["backend"] != dead:
            assert new["backend"] == old["backend"], "a flow of another backend moved"
    every = [f"--down=nat/{name}4" for name in captures.BACKENDS]
    none = replay.frames(frames[:1], *every)
    assert none.verdicts[0]["reason"] == "no_backend" and none.verdicts[0]["service"] == "nat"
