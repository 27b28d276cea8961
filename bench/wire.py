# SPDX-License-Identifier: Apache-2.0
"""wrk through Holdfast and through what the kernel offers, in namespaces on veth.

    wire.py BUILD        prints what it measured, like the benchmark programs

The topology is the lab's (holdfast_lab/topology.py), with one more host beside the balancer: the
peers, which forward by plain routing, by nftables' DNAT, by haproxy and by nginx. All of them are up
at once and take turns of a second, so that what else the machine does hits them alike; everything
shares its cores, so that the ratio to plain routing is what can be compared. Each balancer puts its
own address in front of the backends, as Holdfast's `nat` does; veth and packet sockets, not the
balancer, are the bound of what is seen here.
"""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support/lab"))

from holdfast_lab import environment, process, run_record  # noqa: E402
from holdfast_lab.backends import Backend  # noqa: E402
from holdfast_lab.balancer import Balancer  # noqa: E402
from holdfast_lab.configuration import Configuration, Service  # noqa: E402
from holdfast_lab.process import Process  # noqa: E402
from holdfast_lab.topology import Topology, backend_v4  # noqa: E402

ROUNDS = 5
BACKENDS = ("a", "b")
VIP = "203.0.113.10"
PEERS_WAN, PEERS_LAN = "203.0.113.3", "10.0.3.3"
NFT_WAN, NFT_LAN = "203.0.113.4", "10.0.3.4"
ROUTED = "10.9.0.11"  # a second address of backend a, reached through the peers' host
HAPROXY_PORT, NGINX_PORT = 82, 84
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

LOADS = {  # connections at a time, and a header of each request
    "keepalive": (64, None),
    "new_connections": (64, "Connection: close"),
    "one_connection": (1, None),
}

_NFT = f"""
table ip holdfast_bench_raw {{
  chain before {{
    type filter hook prerouting priority raw;
    ip daddr != {{ {NFT_WAN}, {NFT_LAN} }} notrack
  }}
  chain own {{
    type filter hook output priority raw;
    notrack
  }}
}}
table ip holdfast_bench_nat {{
  chain before {{
    type nat hook prerouting priority dstnat;
    ip daddr {NFT_WAN} tcp dport 80 dnat to jhash ip saddr . tcp sport mod 2 map \\
      {{ 0 : {backend_v4("a")}, 1 : {backend_v4("b")} }}
  }}
  chain behind {{
    type nat hook postrouting priority srcnat;
    ct status dnat snat to {NFT_LAN}
  }}
}}
"""

_HAPROXY = """
global
  nbthread 1
  maxconn 5000
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen all
  bind {address}:{port}
  balance roundrobin
{servers}
"""

_NGINX = """
load_module {module};
daemon off; worker_processes 1; pid {folder}/stream.pid; error_log {folder}/stream.log warn;
events {{ worker_connections 8192; }}
stream {{
  upstream backends {{ {servers} }}
  server {{ listen {address}:{port} backlog=8192; proxy_pass backends; }}
}}
"""


class WireTopology(Topology):
    def build(self) -> "WireTopology":
        super().build()
        self._make_namespace("peers", {"net/ipv4/ip_forward": "1",
                                       "net/ipv4/ip_local_port_range": "1025 65535",
                                       "net/core/somaxconn": "8192"})
        for bridge, addresses in (("wan", (PEERS_WAN, NFT_WAN)), ("lan", (PEERS_LAN, NFT_LAN))):
            self._link("peers", bridge, f"peers-{bridge}", bridge)
            self._batch("peers", [f"address add {one}/24 dev {bridge}" for one in addresses])
        self._batch("peers", ["route add default via 203.0.113.1",
                              f"route add {ROUTED} via {backend_v4('a')}"])
        self._batch("fabric", [f"route add {ROUTED} via {PEERS_WAN}"])
        self._batch("be-a", [f"address add {ROUTED}/32 dev lo",
                             f"rule add from {ROUTED} lookup 100",
                             f"route add default via {PEERS_LAN} table 100"])
        return self


class Wire:
    """Everything started; `targets` are the URLs by the name of who is in between."""

    def __init__(self, run: run_record.RunRecord, build: Path):
        self.run = run
        self.lab = WireTopology(run, backends=BACKENDS)
        self.folder = run.folder
        self.targets = {"routed": f"http://{ROUTED}/"}
        self.remarks: dict[str, str] = {}
        service = Service("web", "nat", (VIP,), {name: 100 for name in BACKENDS}, ("tcp/80",))
        # A closed connection keeps its endpoint for a minute, and wrk makes ten thousand a second.
        self.balancer = Balancer(self.lab, build, Configuration(
            self.folder / "holdfast", f"bench-{run.id}", (service,), flows="2M"))

    def start(self) -> None:
        self.lab.build()
        backends = [Backend(self.lab, name).start() for name in BACKENDS]
        for backend in backends:
            backend.wait_ready()
        self.balancer.start()
        self.balancer.wait_ready()
        self.targets["holdfast"] = f"http://{VIP}/"
        self._start_nft()
        self._start_haproxy()
        self._start_nginx()

    def _start_nft(self) -> None:
        rules = self.folder / "peers.nft"
        rules.write_text(_NFT)
        self.lab.in_namespace("peers", "nft", "-f", str(rules))
        self.targets["nftables"] = f"http://{NFT_WAN}/"

    def _start_haproxy(self) -> None:
        program = shutil.which("haproxy")
        if program is None:
            self.remarks["haproxy"] = "haproxy is not installed"
            return
        servers = "".join(f"  server {name} {backend_v4(name)}:80\n" for name in BACKENDS)
        path = self.folder / "haproxy.cfg"
        path.write_text(_HAPROXY.format(address=PEERS_WAN, port=HAPROXY_PORT, servers=servers))
        self._start("haproxy", [program, "-db", "-f", str(path)], HAPROXY_PORT)

    def _start_nginx(self) -> None:
        if not STREAM_MODULE.exists():
            self.remarks["nginx_stream"] = "libnginx-mod-stream is not installed"
            return
        servers = " ".join(f"server {backend_v4(name)}:80;" for name in BACKENDS)
        path = self.folder / "stream.conf"
        path.write_text(_NGINX.format(module=STREAM_MODULE, folder=self.folder, servers=servers,
                                      address=PEERS_WAN, port=NGINX_PORT))
        self._start("nginx_stream", ["nginx", "-e", "/dev/null", "-c", str(path)], NGINX_PORT)

    def _start(self, name: str, command: list[str], port: int) -> None:
        peer = Process(self.run, self.lab.namespace("peers"), command, self.folder / f"{name}.log")
        process.wait_until(
            lambda: not peer.is_running()
            or f":{port} " in self.lab.in_namespace("peers", "ss", "-Hltn"), name)
        if not peer.is_running():
            raise RuntimeError(f"{name} ended: {peer.said()[-300:]}")
        self.targets[name] = f"http://{PEERS_WAN}:{port}/"

    def wrk(self, url: str, connections: int, header: str | None) -> tuple[float, float, float]:
        """Requests per second, and the latencies p50 and p99 in microseconds."""
        command = ["wrk", "-t1", f"-c{connections}", "-d1s", "--latency"]
        command += ["-H", header] if header else []
        said = process.output_of(self.lab.namespace("client"), *command, url)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        if rate is None or "Socket errors" in said or "Non-2xx" in said:
            raise RuntimeError(f"wrk to {url}: {said}")
        return float(rate.group(1)), microseconds(said, "50%"), microseconds(said, "99%")


def microseconds(said: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)\b", said)
    if found is None:
        raise RuntimeError(f"wrk tells no {share}: {said}")
    return float(found.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[found.group(2)]


def measure(wire: Wire) -> list[dict]:
    series: dict[str, dict] = {}

    def add(name: str, unit: str, sample: float, beside: float) -> None:
        one = series.setdefault(name, {"name": name, "unit": unit, "remark": "", "samples": [],
                                       "beside": []})
        one["samples"].append(sample)
        one["beside"].append(beside)

    for url in wire.targets.values():
        wire.wrk(url, 8, None)  # the first one finds neighbours unresolved
    for _ in range(ROUNDS):
        for load, (connections, header) in LOADS.items():
            routed = wire.wrk(wire.targets["routed"], connections, header)
            for who, url in wire.targets.items():
                seen = routed if who == "routed" else wire.wrk(url, connections, header)
                name = f"wire.{load}.{who}"
                add(f"{name}.requests", "requests/s", seen[0], routed[0])
                add(f"{name}.p50", "us", seen[1], routed[1])
                add(f"{name}.p99", "us", seen[2], routed[2])
    for who, why in wire.remarks.items():
        series[who] = {"name": f"wire.{who}", "unit": "", "remark": why, "samples": [],
                       "beside": []}
    return list(series.values())


def main() -> int:
    environment.enter(run_record.sweep_killed)
    run = run_record.RunRecord.begin()
    try:
        wire = Wire(run, Path(sys.argv[1]).resolve())
        wire.start()
        print(json.dumps(measure(wire)))
    finally:
        run.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
