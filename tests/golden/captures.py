# SPDX-License-Identifier: Apache-2.0
"""Builds the captures of the replay tests with Scapy, at test time: no binary file is kept.

The configuration here has one service per mode over the same three backends of each family. Frames
are Scapy packets; what a balancer made of them is judged in replaying.py.
"""

from dataclasses import dataclass

from scapy.all import (
    ARP,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    IPOption,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    PadN,
    Raw,
)

OUR_MAC = "02:00:5e:10:00:01"
NEXT_HOP_MAC = "02:00:5e:20:00:01"
CLIENT_MAC = "02:00:00:00:00:07"
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
VIP = {
    ("nat", 4): "203.0.113.10",
    ("nat", 6): "2001:db8::10",
    ("dsr", 4): "203.0.113.11",
    ("dsr", 6): "2001:db8::11",
}
POOL = {4: "10.0.3.16", 6: "2001:db8:3::16"}
BACKENDS = {
    "a": {4: "10.0.3.11", 6: "2001:db8:3::11"},
    "b": {4: "10.0.3.12", 6: "2001:db8:3::12"},
    "c": {4: "10.0.3.13", 6: "2001:db8:3::13"},
}
NAT_PORT = 8080  # on the backends; 80 on the VIP
DNS = 53
WEB = 80


def configuration(
    folder,
    name: str = "holdfast.yaml",
    backends=tuple(BACKENDS),
    modes=("nat", "dsr"),
    vlans=("", ""),
    extra="",
):
    """Writes the configuration, backends and services in the given order; returns its path.

    `vlans` are those of the two ports, as the configuration writes them.
    """
    devices = [
        f"{{device: 'null', vlan: {vlan}}}" if vlan else f"{{device: af_packet, interface: {name}}}"
        for name, vlan in zip(("wan0", "lan0"), vlans)
    ]
    lines = [
        "version: 1",
        f"dataplane: {{directory: '{folder}/none'}}",
        "ports:",
        f"  wan0: {devices[0]}",
        f"  lan0: {devices[1]}",
        "nat: {pool: [10.0.3.16-10.0.3.31, '2001:db8:3::16-2001:db8:3::1f']}",
        "services:",
    ]
    for mode in modes:
        lines += [
            f"  - name: {mode}",
            f"    vips: ['{VIP[mode, 4]}', '{VIP[mode, 6]}']",
            f"    ports: [tcp/{WEB}, udp/{DNS}]",
            f"    mode: {mode}",
            "    check: none",
            "    balance: {slots: 4093}",
            "    backends:",
        ]
        port = f", port: {NAT_PORT}" if mode == "nat" else ""
        for backend in backends:
            for family in (4, 6):
                address = BACKENDS[backend][family]
                lines.append(
                    f"      - {{name: {backend}{family}, address: '{address}'{port}}}"
                )
    path = folder / name
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


def link(**fields):
    return Ether(src=CLIENT_MAC, dst=OUR_MAC, **fields)


def network(family: int, source: str, destination: str, **fields):
    if family == 4:
        return IP(src=source, dst=destination, **fields)
    return IPv6(src=source, dst=destination, **fields)


def request(mode: str, family: int, upper, payload: bytes = b"", source: str | None = None):
    """A client's frame to the mode's VIP. `upper` is TCP or UDP; its target port is set here."""
    upper = upper.copy()
    upper.dport = WEB if upper.name == "TCP" else DNS
    frame = link() / network(family, source or CLIENT[family], VIP[mode, family]) / upper
    return built(frame / Raw(payload) if payload else frame)


def answer_to(forwarded, flags: str = "SA", payload: bytes = b""):
    """What the receiver of a forwarded frame sends back to us."""
    ip = forwarded.getlayer(IP) or forwarded.getlayer(IPv6)
    family = 4 if isinstance(ip, IP) else 6
    old = forwarded.getlayer(TCP) or forwarded.getlayer(UDP)
    if isinstance(old, TCP):
        upper = TCP(sport=old.dport, dport=old.sport, flags=flags, seq=9000, ack=old.seq + 1)
    else:
        upper = UDP(sport=old.dport, dport=old.sport)
    frame = Ether(src=NEXT_HOP_MAC, dst=OUR_MAC) / network(family, ip.dst, ip.src) / upper
    return built(frame / Raw(payload) if payload else frame)


def built(frame):
    """The frame with every length and checksum filled in."""
    return Ether(bytes(frame))


@dataclass(frozen=True)
class Named:
    name: str
    frame: object


def valid_frames() -> list[Named]:
    """One sound frame of every kind that the pipeline tells apart."""
    frames = []
    for mode in ("nat", "dsr"):
        for family in (4, 6):
            frames += [
                Named(f"{mode}{family} syn", request(mode, family, TCP(sport=40000, flags="S"))),
                Named(
                    f"{mode}{family} data",
                    request(mode, family, TCP(sport=40000, flags="PA"), b"hello"),
                ),
                Named(f"{mode}{family} udp", request(mode, family, UDP(sport=40001), b"query")),
            ]
    v4 = IP(src=CLIENT[4], dst=VIP["nat", 4])
    v6 = IPv6(src=CLIENT[6], dst=VIP["nat", 6])
    syn = TCP(sport=40002, dport=WEB, flags="S", options=[("MSS", 1460), ("SAckOK", b"")])
    solicited = IPv6(src=CLIENT[6], dst="ff02::1:ff00:10", hlim=255)
    no_operation = IPOption(copy_flag=0, optclass=0, option=1)
    frames += [
        Named("v4 options", link() / IP(src=v4.src, dst=v4.dst, options=[no_operation] * 4) / syn),
        Named("vlan", link() / Dot1Q(vlan=7) / v4 / syn),
        Named("v6 options", link() / v6 / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
              / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / syn),
        Named("fragment", link() / IP(src=v4.src, dst=v4.dst, flags="MF") / syn),
        Named("ping", link() / v4 / ICMP(id=1, seq=2) / Raw(b"ping")),
        Named("ping6", link() / v6 / ICMPv6EchoRequest(id=1, seq=2, data=b"ping")),
        Named("arp", Ether(src=CLIENT_MAC, dst="ff:ff:ff:ff:ff:ff")
              / ARP(hwsrc=CLIENT_MAC, psrc="203.0.113.1", pdst=VIP["nat", 4])),
        Named("solicitation", Ether(src=CLIENT_MAC, dst="33:33:ff:00:00:10") / solicited
              / ICMPv6ND_NS(tgt=VIP["nat", 6]) / ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC)),
        Named("foreign", link() / IP(src=CLIENT[4], dst="192.0.2.99") / syn),
    ]
    return [Named(named.name, built(named.frame)) for named in frames]
