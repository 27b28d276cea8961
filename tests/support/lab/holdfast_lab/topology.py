# SPDX-License-Identifier: Apache-2.0
"""Namespaces, links and addresses of a lab.

          client                      198.51.100.10, 2001:db8:100::10
            |
    +--- fabric: an L3 switch --------------------------------------------+
    |  wan bridge 203.0.113.1/24 2001:db8::1     lan bridge 10.0.3.1/24 ... |
    +--------|--------------------------------------------|---|---|---|---+
          veth-wan                                veth-lan |   |   |   |
             +------------------ balancer ------------+    a   b   c   d   (10.0.3.11 ...)

The client reaches a VIP (on the wan subnet) through the fabric, as from the Internet. Backends
answer a NAT pool address on the lan, where the balancer speaks for it, and answer a client
directly through their gateway, the fabric: that is the way back in `dsr`, past the balancer. With
`dsr` they hold the VIP on lo and keep silent about it in ARP and ND.
"""

import subprocess
from dataclasses import dataclass, field
from ipaddress import ip_address

from . import process
from .run_record import RunRecord

CLIENT_V4 = "198.51.100.10"
CLIENT_V6 = "2001:db8:100::10"
BALANCER_WAN_V4 = "203.0.113.2"
BALANCER_LAN_V4 = "10.0.3.2"
BALANCER_LAN_V6 = "2001:db8:3::2"
NAT_POOL_V4 = "10.0.3.16-10.0.3.31"
NAT_POOL_V6 = "2001:db8:3::1:0-2001:db8:3::1:f"
WAN_PORT = "veth-wan"
LAN_PORT = "veth-lan"
BACKEND_NAMES = ("a", "b", "c", "d")

_EVERYWHERE = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",
}
_FABRIC = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}
_CLIENT = {
    "net/ipv4/ip_local_port_range": "1025 65535",
    "net/ipv4/tcp_tw_reuse": "1",
}
_BACKEND = {
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/core/somaxconn": "8192",
}


@dataclass(frozen=True)
class BalancerPort:
    name: str
    v4: str
    v6: str
    bridge: str


BALANCER_PORTS = (
    BalancerPort(WAN_PORT, f"{BALANCER_WAN_V4}/24", "2001:db8::2/64", "wan"),
    BalancerPort(LAN_PORT, f"{BALANCER_LAN_V4}/24", f"{BALANCER_LAN_V6}/64", "lan"),
)


def backend_v4(name: str) -> str:
    return f"10.0.3.{11 + BACKEND_NAMES.index(name)}"


def backend_v6(name: str) -> str:
    return f"2001:db8:3::{11 + BACKEND_NAMES.index(name)}"


def inner_mac(name: str) -> str:
    """Of a backend's vxlan interfaces."""
    return f"02:00:00:00:01:{11 + BACKEND_NAMES.index(name):02x}"


@dataclass
class Topology:
    """The namespaces of one run. `build` makes them; the run's record removes them."""

    run: RunRecord
    backends: tuple[str, ...] = BACKEND_NAMES
    dsr_vips: tuple[str, ...] = ()
    _links: int = field(default=0, init=False)

    def namespace(self, role: str) -> str:
        return f"hf{self.run.id}-{role}"

    def backend(self, name: str) -> str:
        return self.namespace(f"be-{name}")

    def build(self) -> "Topology":
        self._make_namespaces()
        self._make_fabric()
        self._make_client()
        self._make_balancer()
        for name in self.backends:
            self._make_backend(name)
        return self

    def in_namespace(self, role: str, *command: str) -> str:
        """Runs a short command inside a namespace and returns what it printed."""
        return process.output_of(self.namespace(role), *command)

    def _make_namespaces(self) -> None:
        tuned = {"fabric": _FABRIC, "client": _CLIENT, "balancer": {}}
        tuned |= {f"be-{name}": _BACKEND for name in self.backends}
        for role, knobs in tuned.items():
            self._make_namespace(role, knobs)

    def _make_namespace(self, role: str, knobs: dict[str, str]) -> None:
        self.run.note("namespace", self.namespace(role))
        _ip("netns", "add", self.namespace(role))
        process.set_sysctls(self.namespace(role), _EVERYWHERE | knobs)
        self._batch(role, ["link set lo up"])

    def _make_fabric(self) -> None:
        commands = []
        # A bridge without an address of its own takes the lowest of its ports', so that the router
        # would be another station whenever a cable comes or goes.
        for bridge, mac, v4, v6 in (
            ("wan", "02:00:5e:00:00:01", "203.0.113.1/24", "2001:db8::1/64"),
            ("lan", "02:00:5e:00:00:02", "10.0.3.1/24", "2001:db8:3::1/64"),
        ):
            commands += [
                f"link add {bridge} address {mac} type bridge"
                " forward_delay 0 stp_state 0 mcast_snooping 0",
                f"address add {v4} dev {bridge}",
                f"address add {v6} dev {bridge} nodad",
                f"link set {bridge} up",
            ]
        self._batch("fabric", commands)

    def _make_client(self) -> None:
        self._link("client", "eth0", "to-client", bridge=None)
        self._batch(
            "fabric",
            [
                "address add 198.51.100.1/24 dev to-client",
                "address add 2001:db8:100::1/64 dev to-client nodad",
            ],
        )
        self._batch(
            "client",
            [
                f"address add {CLIENT_V4}/24 dev eth0",
                f"address add {CLIENT_V6}/64 dev eth0 nodad",
                "route add default via 198.51.100.1",
                "route add default via 2001:db8:100::1",
            ],
        )

    def _make_balancer(self) -> None:
        for port in BALANCER_PORTS:
            self._link("balancer", port.name, f"to-{port.name}", port.bridge)
            self.quiet(port.name)
            self.address(port, port.name)
        self.route_by_wan()

    def quiet(self, port: str, where: str = "balancer") -> None:
        """No unfinished checksums and super-frames, which a veth's kernel hands over and a packet
        socket would see. Both ends, because each end's transmission is the other's reception."""
        for role, device in ((where, port), ("fabric", f"to-{port}")):
            self.in_namespace(
                role, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off",
                "gro", "off",
            )  # fmt: skip

    def address(self, port: BalancerPort, device: str) -> None:
        self._batch(
            "balancer",
            [f"address add {port.v4} dev {device}", f"address add {port.v6} dev {device} nodad"],
        )

    def route_by_wan(self) -> None:
        self._batch(
            "balancer", ["route add default via 203.0.113.1", "route add default via 2001:db8::1"]
        )

    def _make_backend(self, name: str) -> None:
        role = f"be-{name}"
        self._link(role, "eth0", f"to-{name}", "lan")
        commands = [
            f"address add {backend_v4(name)}/24 dev eth0",
            f"address add {backend_v6(name)}/64 dev eth0 nodad",
            "route add default via 10.0.3.1",
            "route add default via 2001:db8:3::1",
        ]
        for vip in self.dsr_vips:
            host = ip_address(vip)
            commands.append(f"address add {vip}/{host.max_prefixlen} dev lo")
        self._batch(role, commands)

    def make_neighbour(self, role: str, addresses: list[str]) -> None:
        """A host on the wan itself, with these addresses: no router between it and the VIPs."""
        self._make_namespace(role, {})
        self._link(role, "eth0", f"to-{role}", "wan")
        self._batch(role, [f"address add {one} dev eth0" for one in addresses])

    def make_vxlan_ends(self, name: str, vni: int) -> None:
        """The kernel's own ends of a tunnel on a backend, one per outer family."""
        commands = []
        for device, address in (("vx4", backend_v4(name)), ("vx6", backend_v6(name))):
            commands += [
                f"link add {device} address {inner_mac(name)} type vxlan id {vni}"
                f" local {address} dstport 4789",
                f"link set {device} up",
            ]
        self._batch(f"be-{name}", commands)

    def _link(self, role: str, device: str, fabric_device: str, bridge: str | None) -> None:
        _ip(
            "link", "add", device, "netns", self.namespace(role), "type", "veth",
            "peer", "name", fabric_device, "netns", self.namespace("fabric"),
        )  # fmt: skip
        self._batch(role, [f"link set {device} up"])
        master = [f"link set {fabric_device} master {bridge}"] if bridge else []
        self._batch("fabric", master + [f"link set {fabric_device} up"])

    def _batch(self, role: str, commands: list[str]) -> None:
        _ip("-n", self.namespace(role), "-batch", "-", text="\n".join(commands) + "\n")


def _ip(*arguments: str, text: str = "") -> None:
    done = subprocess.run(["ip", *arguments], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()} {text}")
