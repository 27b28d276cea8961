# SPDX-License-Identifier: Apache-2.0
"""Fragments through af_packet ports with real kernels at both ends. Those of IPv6 come as they are
and go on as they are; those of IPv4 the packet socket has put together (PACKET_FANOUT_FLAG_DEFRAG,
which DPDK sets, knows IPv4 only), and the datagram is then longer than the way."""

import pytest

from conftest import new_configuration, owned_vips, running_balancer, running_lab
from holdfast_lab import datagrams, process
from holdfast_lab.configuration import Service
from holdfast_lab.process import Process
from holdfast_lab.topology import backend_v4, backend_v6

PORT = 9001
BYTES = 4000
PIECES = 3
COUNT = 100
SERVICES = tuple(
    Service(f"{mode}-{family}", mode, (vip,), {"a": 100}, (f"udp/{PORT}",))
    for mode, family, vip in (
        ("nat", 4, "203.0.113.70"),
        ("nat", 6, "2001:db8::70"),
        ("dsr", 4, "203.0.113.71"),
        ("dsr", 6, "2001:db8::71"),
    )
)
V4 = tuple(one for one in SERVICES if one.name.endswith("4"))
V6 = tuple(one for one in SERVICES if one.name.endswith("6"))


@pytest.fixture(scope="module")
def lab():
    with running_lab(owned_vips(SERVICES)) as lab:
        server = Process(
            lab.run,
            lab.backend("a"),
            ["/usr/bin/python3", datagrams.__file__, "serve", str(PORT)]
            + [backend_v4("a"), backend_v6("a"), *owned_vips(SERVICES)],
            lab.run.folder / "datagrams.out",
        )
        process.wait_until(lambda: "ready" in server.said(), "the server of datagrams")
        yield lab


@pytest.fixture(scope="module")
def balancer(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, SERVICES)) as balancer:
        yield balancer


def asked(lab, service: Service, size: int, count: int) -> int:
    command = ("/usr/bin/python3", datagrams.__file__, "ask", service.vips[0], str(PORT))
    return int(lab.in_namespace("client", *command, str(size), str(count)))


def seen(balancer, reason: str = "mtu") -> tuple[int, int]:
    """Fragments, and drops for that reason, so far."""
    workers = balancer.status()["workers"]
    assert all(worker["unaccounted"] == 0 for worker in workers)
    return (
        sum(worker["counters"]["fragments"] for worker in workers),
        sum(worker["drops"].get(reason, 0) for worker in workers),
    )


@pytest.mark.parametrize("service", V6, ids=lambda service: service.name)
def test_long_datagrams_of_ipv6_pass_as_fragments(lab, balancer, service):
    fragments, _ = seen(balancer)
    assert asked(lab, service, BYTES, COUNT) == COUNT
    ways = 2 if service.mode == "nat" else 1  # in `dsr` answers pass beside Holdfast
    assert seen(balancer)[0] - fragments == PIECES * COUNT * ways


# A place of the port's ring holds 2048 bytes, at an MTU of 1500: what is longer is cut there.
@pytest.mark.parametrize(("size", "reason"), [(1600, "mtu"), (BYTES, "truncated")])
@pytest.mark.parametrize("service", V4, ids=lambda service: service.name)
def test_long_datagrams_of_ipv4_come_put_together_and_are_too_long(
    lab, balancer, service, size, reason
):
    assert asked(lab, service, 1400, COUNT) == COUNT
    fragments, dropped = seen(balancer, reason)
    assert asked(lab, service, size, 1) == 0
    assert seen(balancer, reason) == (fragments, dropped + 1)
