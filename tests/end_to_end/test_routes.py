# SPDX-License-Identifier: Apache-2.0
"""Routes to VIPs that are ready: they come with health, go with the process, and outlive control."""

import os
import re
import signal
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from conftest import new_configuration, running_balancer, running_lab
from holdfast_lab import process
from holdfast_lab.configuration import Service
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.route_watch import RouteWatch, routes_of
from test_failover import counted
from test_forwarding import target
from test_orders import restart_control

WEIGHTS = {"a": 100, "b": 100, "c": 100}
VIP, VIP6 = "203.0.113.11", "2001:db8::11"
DSR = Service("web", "dsr", (VIP, VIP6), WEIGHTS, healthy=2)
ROUTES = "routes: {device: holdfast, protocol: 240}\n"
OURS = ("proto", "240")
WITHDRAWN_MS = 200


@pytest.fixture(scope="module")
def lab():
    with running_lab((VIP, VIP6)) as lab:
        yield lab


@pytest.fixture
def configuration(lab):
    return replace(new_configuration(lab, (DSR,)), more=ROUTES)


def ours(lab) -> str:
    return routes_of(lab, "balancer", *OURS)


def decided_at(balancer, backend: str) -> float:
    """When control said last that the backend is down."""
    line = re.findall(
        rf"time=(\S+)Z \S+ event=state service=web backend={backend} from=\S+ to=down\S*",
        balancer.log.read_text(),
    )
    return datetime.fromisoformat(line[-1]).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.quick
def test_a_killed_dataplane_takes_its_routes_along_and_brings_them_back(lab, balancer):
    process.wait_until(lambda: VIP in ours(lab) and VIP6 in ours(lab), "the routes")
    load = MessageLoad(lab, LoadPlan([target(DSR)]))
    load.wait_answered()
    watch = RouteWatch(lab, "balancer")
    # Without control: what comes back is what it said last.
    control = balancer.pid_of("control")
    os.kill(control, signal.SIGSTOP)
    try:
        old = balancer.pid_of("dataplane")
        killed = time.time()
        os.kill(old, signal.SIGKILL)
        # The device goes, and of its IPv4 routes the kernel tells nobody.
        process.wait_until(lambda: VIP not in ours(lab), "the routes to be gone")
        gone = time.time()
        back = watch.wait_for(VIP, gone=False, since=killed)
    finally:
        os.kill(control, signal.SIGCONT)
    print(f"route gone {(gone - killed) * 1e3:.0f} ms after the kill, back after {back - killed:.2f} s")
    assert VIP6 in ours(lab)
    process.wait_until(lambda: balancer.status()["routes"] == 2, "control to see them")
    report = load.settle(time.time())
    for what in ("moved", "broken"):
        assert counted(report, what) == 0, what
    load.stop()
    watch.stop()


def test_of_a_killed_process_the_kernel_closes_the_device_before_the_ports(balancer):
    """The last descriptor first. A packet socket's end takes long."""
    place = Path("/proc", str(balancer.pid_of("dataplane")))
    opened = {int(one.name): os.readlink(one) for one in place.joinpath("fd").iterdir()}
    sockets = place.joinpath("net", "packet").read_text().splitlines()[1:]
    ports = {f"socket:[{line.split()[-1]}]" for line in sockets}
    last_port = max(number for number, what in opened.items() if what in ports)
    device = max(number for number, what in opened.items() if what == "/dev/net/tun")
    assert device > last_port


def test_a_service_below_its_floor_has_no_route_until_it_is_above_again(lab, balancer):
    process.wait_until(lambda: VIP in ours(lab), "the route")
    watch = RouteWatch(lab, "balancer")
    lab.servers["a"].kill()
    balancer.wait_member("web", "a", "health", "down")
    assert VIP in ours(lab)
    start = lab.servers["b"].kill()
    withdrawn = watch.wait_for(VIP, gone=True, since=start)
    balancer.wait_member("web", "b", "health", "down")
    after = (withdrawn - decided_at(balancer, "b")) * 1e3
    print(f"route withdrawn {after:.0f} ms after the verdict, {withdrawn - start:.2f} s after the end")
    assert after <= WITHDRAWN_MS
    # One request to the kernel follows the other: the IPv6 route goes a moment later.
    watch.wait_for(VIP6, gone=True, since=start)
    assert VIP6 not in ours(lab)
    said = "\n".join(balancer.status()["notices"])
    assert f"no route to {VIP}: service web has 1 backends that take new flows" in said
    for name in ("a", "b"):
        lab.servers[name].start().wait_ready()
    watch.wait_for(VIP, gone=False, since=withdrawn)
    watch.stop()


def test_routes_stay_while_control_is_dead_and_over_its_restart(lab, balancer):
    process.wait_until(lambda: VIP in ours(lab), "the route")
    watch = RouteWatch(lab, "balancer")
    restart_control(balancer)
    assert [event for event in watch.events() if event.prefix in (VIP, VIP6)] == []
    assert balancer.status()["routes"] == 2
    watch.stop()


def test_an_orderly_stop_withdraws_them_and_leaves_no_device(lab, binaries, configuration):
    with running_balancer(lab, binaries, configuration):
        process.wait_until(lambda: VIP in ours(lab), "the route")
    assert ours(lab) == ""
    assert "holdfast" not in lab.in_namespace("balancer", "ip", "link")


def test_what_the_machine_sends_to_a_vip_is_counted_and_arp_is_answered_all_the_same(lab, balancer):
    process.wait_until(lambda: VIP in ours(lab), "the route")
    before = balancer.status()["routes_discarded"]
    for vip in (VIP, VIP6, VIP):
        lab.in_namespace("balancer", "bash", "-c", f"echo >/dev/udp/{vip}/7001")
    process.wait_until(lambda: balancer.status()["routes_discarded"] == before + 3, "the count")
    # On the wire the VIP is still on-link: the route on the device is not the way to it.
    lab.in_namespace("fabric", "ip", "neigh", "flush", "dev", "wan")
    lab.in_namespace("client", "timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{VIP}/80")


def test_a_reload_that_changes_the_routes_is_refused_by_name(balancer):
    text = balancer.configuration.text()
    balancer.write(text.replace("protocol: 240", "protocol: 241"))
    status = balancer.reload_by_signal()
    assert status["last_reload"]["result"] == "refused"
    assert "'routes' cannot be changed without a restart" in status["last_reload"]["lines"][0]
    balancer.write(text)
