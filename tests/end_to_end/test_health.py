# SPDX-License-Identifier: Apache-2.0
"""Whether traffic should come to the node, as load balancers in front and keepalived ask it."""

import os
import signal

import pytest

from conftest import NAT, new_configuration, running_balancer
from holdfast_lab import process


@pytest.fixture
def balancer(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, (NAT,))) as balancer:
        yield balancer


def said(balancer) -> str:
    answer = balancer.cli("health")
    assert answer.status == (0 if answer.out == "ready\n" else 1)
    quiet = balancer.cli("health", "--quiet")
    assert quiet.out == quiet.err == ""
    return answer.out


def test_a_drained_node_is_not_ready_until_it_is_enabled(balancer):
    assert said(balancer) == "ready\n"
    assert balancer.cli("drain", "node", "--force").status == 0
    assert said(balancer) == "not ready: no service has a backend that takes new flows\n"
    assert balancer.cli("enable", "node").status == 0
    assert said(balancer) == "ready\n"


def test_a_hung_dataplane_is_not_ready_and_is_again_when_it_goes_on(balancer):
    dataplane = balancer.pid_of("dataplane")
    os.kill(dataplane, signal.SIGSTOP)
    try:
        process.wait_until(lambda: said(balancer) != "ready\n", "the node not to be ready", 20.0)
        assert "the dataplane" in said(balancer)
    finally:
        os.kill(dataplane, signal.SIGCONT)
    process.wait_until(lambda: said(balancer) == "ready\n", "the node to be ready", 20.0)
