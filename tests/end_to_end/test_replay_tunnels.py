# SPDX-License-Identifier: Apache-2.0
"""The tunnel modes as `holdfast replay` transmits them, taken apart by Scapy: outer headers and
their checksums, the client's packet byte for byte, whichever family carries whichever."""

import ipaddress
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.all import GRE, IP, TCP, UDP, VXLAN, Ether, IPv6

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))

import captures  # noqa: E402
from replaying import Replay, assert_sound  # noqa: E402

pytestmark = [pytest.mark.plain, pytest.mark.quick]

FAMILIES = (4, 6)
MODES = ("ipip", "gue", "gre", "vxlan")
VNI = 4711
INNER_MAC = "02:00:00:00:00:0b"


def configuration(folder: Path, mode: str, outer: int, tunnel: str = "") -> Path:
    keys = [f"vni: {VNI}"] if mode == "vxlan" else []
    keys += [tunnel] if tunnel else []
    inner = f", inner_mac: '{INNER_MAC}'" if mode == "vxlan" else ""
    lines = [
        "version: 1",
        f"dataplane: {{directory: '{folder}/none'}}",
        "ports: {wan0: {device: 'null'}, lan0: {device: 'null'}}",
        "services:",
        "  - name: dsr",
        f"    vips: ['{captures.VIP['dsr', 4]}', '{captures.VIP['dsr', 6]}']",
        f"    ports: [tcp/{captures.WEB}, udp/{captures.DNS}]",
        f"    mode: {mode}",
        f"    tunnel: {{{', '.join(keys)}}}",
        "    check: none",
        "    balance: {slots: 4093}",
        "    backends:",
    ]
    lines += [
        f"      - {{name: {name}, address: '{addresses[outer]}'{inner}}}"
        for name, addresses in captures.BACKENDS.items()
    ]
    path = folder / "tunnel.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def client_frames(family: int) -> list:
    """Frames of one flow each: a SYN, data, datagrams of every length near a boundary."""
    frames = [
        captures.request("dsr", family, TCP(sport=4000, flags="S", options=[("MSS", 1460)])),
        captures.request("dsr", family, TCP(sport=4001, flags="PA"), b"odd length"),
    ]
    frames += [
        captures.request("dsr", family, UDP(sport=5000 + size), (b"\xff\x01\x00" * size)[:size])
        for size in (0, 1, 2, 3, 57, 58, 1199, 1200)
    ]
    return frames


def inside(packet, mode: str, hops: int = 0):
    """The bytes that the outer headers carry, from the client's IP header on."""
    outer = packet.payload
    if mode == "gre":
        gre = packet[GRE]
        assert (gre.chksum_present, gre.key_present, gre.seqnum_present, gre.version) == (0,) * 4
        assert gre.proto in (0x0800, 0x86DD)
        return bytes(gre.payload)
    if mode == "vxlan":
        assert (packet[UDP].dport, packet[VXLAN].vni, packet[VXLAN].flags) == (4789, VNI, 8)
        frame = packet[VXLAN].payload
        assert isinstance(frame, Ether) and frame.dst == INNER_MAC
        return bytes(frame.payload)
    if mode == "gue":
        udp = packet[UDP]
        assert udp.dport == (19523 if hops else 6080)
        return bytes(udp.payload)[8 + 4 * hops if hops else 0 :]
    return bytes(outer)[20 if isinstance(outer, IP) else 40 :]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outer", FAMILIES)
@pytest.mark.parametrize("inner", FAMILIES)
def test_the_clients_packet_arrives_whole(binaries, tmp_path, mode, outer, inner):
    replay = Replay(binaries, configuration(tmp_path, mode, outer))
    frames = client_frames(inner)
    result = replay.frames(frames)
    assert [v["verdict"] for v in result.verdicts] == ["forward"] * len(frames)
    for number, frame in enumerate(frames):
        packet = result.only(number)
        assert_sound(packet)
        ip = packet.payload
        assert isinstance(ip, IP if outer == 4 else IPv6)
        backend = captures.BACKENDS[result.verdicts[number]["backend"]][outer]
        assert ipaddress.ip_address(ip.dst) == ipaddress.ip_address(backend)
        assert (ip.ttl if outer == 4 else ip.hlim) == 64
        assert inside(packet, mode) == bytes(frame.payload)
        assert len(ip) == (ip.len if outer == 4 else 40 + ip.plen)


@pytest.mark.parametrize("outer", FAMILIES)
def test_the_outer_source_is_the_configured_one(binaries, tmp_path, outer):
    sources = "source: [192.0.2.9, '2001:db8:9::9']"
    replay = Replay(binaries, configuration(tmp_path, "ipip", outer, sources))
    packet = replay.frames([captures.request("dsr", 4, TCP(sport=1, flags="S"))]).only(0)
    assert packet.payload.src == ("192.0.2.9" if outer == 4 else "2001:db8:9::9")


def test_a_hop_list_names_the_other_backends(binaries, tmp_path):
    replay = Replay(binaries, configuration(tmp_path, "gue", 4, "hops: 2"))
    frame = captures.request("dsr", 4, TCP(sport=77, flags="S"))
    packet = replay.frames([frame]).only(0)
    assert_sound(packet)
    header = bytes(packet[UDP].payload)[:16]
    length, protocol, flags, kind, at, count = struct.unpack("!BBHHBB", header[:8])
    assert (length, protocol, flags, kind, at, count) == (3, 4, 0, 0, 0, 2)
    hops = {str(ipaddress.ip_address(header[8 + 4 * n : 12 + 4 * n])) for n in range(2)}
    assert hops | {packet[IP].dst} == {b[4] for b in captures.BACKENDS.values()}
    assert inside(packet, "gue", 2) == bytes(frame.payload)


def test_a_damaged_packet_is_not_vouched_for(binaries, tmp_path):
    frame = captures.request("dsr", 4, UDP(sport=5), b"payload")
    frame[UDP].chksum ^= 0x0100
    for outer in FAMILIES:
        packet = Replay(binaries, configuration(tmp_path, "gue", outer)).frames([frame]).only(0)
        with pytest.raises(AssertionError, match="UDP"):
            assert_sound(packet)
        assert inside(packet, "gue") == bytes(frame.payload)


def test_the_layouts_in_the_documentation_are_real(binaries):
    script = Path(__file__).resolve().parents[2] / "tools" / "draw_modes.py"
    subprocess.run(["/usr/bin/python3", script, binaries / "holdfast"], check=True, timeout=60)
