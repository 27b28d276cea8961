# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/backends.md make a backend: each mode's are run as they stand there, on a
host with a kernel's ordinary settings, and real traffic goes through. A mode whose tunnel the kernel
here cannot make is skipped, with the command that it refused."""

import re
from contextlib import contextmanager

import pytest

from conftest import ROOT, new_configuration, running_balancer
from holdfast_lab import process, run_record, topology
from holdfast_lab.backends import Backend
from holdfast_lab.configuration import Service
from holdfast_lab.loads import MessageLoad, NewConnections
from holdfast_lab.message_client import LoadPlan
from test_forwarding import assert_every_message_answered, target

PAGE = ROOT / "docs" / "backends.md"
# The page's addresses, and what this lab has in their place.
VIPS = ("203.0.113.10", "2001:db8::10")
ADDRESS, INNER_MAC, VNI = "10.0.3.11", "02:00:00:00:00:0b", 100
# What other systems set, so that the commands that turn it off have something to do.
ORDINARY = {
    "net/ipv4/conf/all/arp_ignore": "0",
    "net/ipv4/conf/all/arp_announce": "0",
    "net/ipv4/conf/all/rp_filter": "1",
    "net/ipv4/conf/default/rp_filter": "1",
}
MODES = ("nat", "dsr", "ipip", "gre", "gue", "vxlan")
MODULE_LACKS = re.compile("not supported|Unknown device type|Error talking to the kernel")


def blocks() -> dict[str, list[str]]:
    """The commands of each section's fenced blocks; those before the first section under ''."""
    found: dict[str, list[str]] = {}
    section, fenced = "", False
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:].strip("`")
        elif line.startswith("```"):
            fenced = not fenced
        elif fenced:
            found.setdefault(section, []).append(re.sub(r"\s+# .*", "", line))
    return found


def recipe(mode: str) -> list[str]:
    """What the page asks for in a mode, in its order."""
    page = blocks()
    if mode == "nat":
        return []
    commands = page[""] + page.get(mode, [])
    if mode == "gue":
        commands += page["ipip"]  # "and the devices of `ipip`"
    if mode not in ("nat", "dsr"):
        commands += page["The size of packets"]
    return [one.replace(INNER_MAC, topology.inner_mac("a")) for one in commands]


def run_recipe(lab, mode: str) -> None:
    for command in recipe(mode):
        try:
            lab.in_namespace("be-a", "bash", "-c", command)
        except OSError as error:
            if command.startswith("modprobe "):
                continue  # not to be had in a container; what needs the module says so
            if command.startswith("ip ") and MODULE_LACKS.search(str(error)):
                pytest.skip(f"the kernel here has no module for: {command}")
            raise


@contextmanager
def lab_by_the_page(mode: str):
    """One backend, which the page's commands made what it is; then its servers."""
    assert topology.backend_v4("a") == ADDRESS
    run = run_record.RunRecord.begin()
    try:
        lab = topology.Topology(run, backends=("a",)).build()
        process.set_sysctls(lab.backend("a"), ORDINARY)
        run_recipe(lab, mode)
        lab.dsr_vips = () if mode == "nat" else VIPS  # the servers listen there
        server = Backend(lab, "a").start()
        server.wait_ready()
        yield lab
    finally:
        run.finish()


def services(mode: str) -> tuple[Service, ...]:
    tunnel = f"vni: {VNI}" if mode == "vxlan" else ""
    outer = 0 if mode in ("nat", "dsr") else 4
    return tuple(
        Service(f"web{number}", mode, (vip,), {"a": 100}, tunnel=tunnel, outer=outer)
        for number, vip in enumerate(VIPS)
    )


def test_every_mode_has_its_commands_on_the_page():
    page = blocks()
    assert {"", "ipip", "gre", "gue", "vxlan", "The size of packets"} <= set(page)
    assert all(vip in " ".join(page[""]) for vip in VIPS)
    vxlan = " ".join(page["vxlan"])
    assert all(word in vxlan for word in (ADDRESS, INNER_MAC, f"id {VNI}"))


@pytest.mark.parametrize("mode", MODES)
def test_a_backend_made_by_the_page_answers_through_holdfast(binaries, mode):
    with lab_by_the_page(mode) as lab:
        both = services(mode)
        with running_balancer(lab, binaries, new_configuration(lab, both)) as balancer:
            load = MessageLoad(lab, LoadPlan([target(one, connections=5, flows=5) for one in both]))
            load.wait_answered()
            assert_every_message_answered(load.stop(), balancer)
            for one in both:
                result = NewConnections(lab, one.vips[0], 1).result()
                assert result["failed"] == 0 and set(result["answers"]) == {"a"}
