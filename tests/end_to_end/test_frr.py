# SPDX-License-Identifier: Apache-2.0
"""FRR announces the VIPs that are ready, with the configuration of examples/, to a BIRD as router."""

import os
import signal
import time
from dataclasses import replace

import pytest

from conftest import ROOT, new_configuration, running_lab
from holdfast_lab.environment import may_change_groups
from holdfast_lab.route_watch import RouteWatch
from holdfast_lab.router import Frr, announcing, example, wait_route
from test_bird import SERVICE, VIP, VIP6
from test_routes import ROUTES

pytestmark = pytest.mark.skipif(
    not may_change_groups(), reason="FRR's daemons switch to a user of their own: run it as root"
)


@pytest.fixture(scope="module")
def lab():
    with running_lab((VIP, VIP6)) as lab:
        yield lab


@pytest.fixture
def configuration(lab):
    return replace(new_configuration(lab, (SERVICE,)), more=ROUTES)


@pytest.fixture
def announced(lab, balancer):
    text = example("frr.conf", ROOT)
    with announcing(lab, lambda: Frr(lab, "balancer", text), (VIP, VIP6)):
        yield


def test_a_killed_dataplane_is_left_by_the_router_and_found_again(lab, balancer, announced):
    watch = RouteWatch(lab, "fabric")
    killed = time.time()
    os.kill(balancer.pid_of("dataplane"), signal.SIGKILL)
    gone = watch.wait_for(VIP, gone=True, since=killed)
    gone6 = watch.wait_for(VIP6, gone=True, since=killed)
    back = watch.wait_for(VIP, gone=False, since=gone, limit_seconds=20)
    watch.wait_for(VIP6, gone=False, since=gone6, limit_seconds=20)
    print(
        f"router left it {(gone - killed) * 1e3:.0f} ms (IPv6 {(gone6 - killed) * 1e3:.0f} ms) after"
        f" the kill, came back after {back - killed:.2f} s"
    )
    watch.stop()


def test_only_routes_on_the_device_are_announced(lab, balancer, announced):
    lab.in_namespace("balancer", "ip", "route", "add", "192.0.2.99", "dev", "veth-lan")
    try:
        balancer.cli("drain", "web/a", "web/b", "--force")
        wait_route(lab, VIP, there=False)  # so FRR has seen what came before
        wait_route(lab, "192.0.2.99", there=False)
    finally:
        lab.in_namespace("balancer", "ip", "route", "del", "192.0.2.99", "dev", "veth-lan")
        balancer.cli("undrain", "web/a", "web/b")
    wait_route(lab, VIP, there=True)
