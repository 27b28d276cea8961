# SPDX-License-Identifier: Apache-2.0
"""An operator's verbs on flows beside real clients: the list agrees with what they hold, they see
as many resets as the ledger says, and flows that are moved go on where the sockets are."""

import json
from collections import Counter

import pytest

from conftest import DSR, NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.process import Process
from test_forwarding import target
from test_ledger import newest, services

KINDS = ("tcp", "udp")
TWIN = "10.0.3.111"  # a second address of backend a's host: it has the same sockets

# Opens connections, has each answered once, and says how many end by a reset while it is silent.
IDLE_CLIENTS = """
import select, socket, sys, time
address, port, count, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
sockets = [socket.create_connection((address, port)) for _ in range(count)]
for number, one in enumerate(sockets):
    one.sendall(b"%d\\n" % number)
    one.recv(100)
print("ready", flush=True)
poll = select.poll()
by = {one.fileno(): one for one in sockets}
for one in sockets:
    poll.register(one, select.POLLIN)
reset, end = 0, time.monotonic() + seconds
while by and time.monotonic() < end:
    for descriptor, _ in poll.poll(100):
        try:
            by[descriptor].recv(100)
        except ConnectionResetError:
            reset += 1
        poll.unregister(descriptor)
        del by[descriptor]
print("reset", reset, flush=True)
"""


@pytest.fixture
def balancer(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, (NAT, DSR))) as balancer:
        yield balancer


def flows(balancer, *words: str) -> dict:
    answer = balancer.cli("flows", *words, "-o", "json")
    assert answer.status == 0, answer.err
    return json.loads(answer.out)


def by_backend(rows: list[dict]) -> dict[str, int]:
    return dict(Counter(row["backend"] for row in rows))


def ordered(balancer, service: str) -> dict[str, int]:
    return next(one["moves"]["by_order"] for one in services(balancer) if one["name"] == service)


def broken(report: dict, service: str, backend: str) -> int:
    return sum(1 for event in report["tcp"]["broken"] if event[1:3] == [service, backend])


@pytest.mark.quick
def test_the_list_agrees_with_the_clients_who_see_as_many_resets_as_the_ledger(lab, balancer):
    load = MessageLoad(lab, LoadPlan([target(NAT), target(DSR)]))
    try:
        load.wait_answered()
        had = load.report()
        for service in (NAT, DSR):
            listed = flows(balancer, "--service", service.name, "--protocol", "tcp")
            assert by_backend(listed["flows"]) == had["tcp"]["open"][service.name]
            assert listed["matched"] == 40
            assert {row["state"] for row in listed["flows"]} == {"established"}
            assert all(("pool" in row) == (service.mode == "nat") for row in listed["flows"])
            datagrams = flows(balancer, "--service", service.name, "--state", "udp")
            assert by_backend(datagrams["flows"]) == had["udp"]["open"][service.name]
        few = flows(balancer, "--source", "198.51.100.0/24", "--limit", "10")
        assert (few["matched"], len(few["flows"])) == (120, 10)
        assert balancer.cli("flows", "--count", "--source", "10.0.0.0/8").out == "0\n"

        refused = balancer.cli("flows", "reset")
        assert refused.status == 5 and "--all" in refused.err
        counted = balancer.cli("flows", "reset", "--backend", "a", "--dry-run", "-o", "json")
        there = sum(had[kind]["open"][one.name]["a"] for kind in KINDS for one in (NAT, DSR))
        assert json.loads(counted.out)["counts"]["matched"] == there
        done = balancer.cli("flows", "reset", "--backend", "a", "--reason", "a test", "-o", "json")
        assert done.status == 0, done.err
        expected = {one.name: had["tcp"]["open"][one.name]["a"] for one in (NAT, DSR)}
        assert json.loads(done.out)["counts"]["reset"] == sum(expected.values())
        for name, count in expected.items():
            process.wait_until(
                lambda: broken(load.report(), name, "a") == count, f"the resets of {name}", 15
            )
        event = newest(balancer, "flows_reset")
        assert {one["service"]: one["by_order"]["reset"] for one in event["services"]} == expected
        assert event["reason"] == "a test"
        report = load.report()
        for name, count in expected.items():
            moves = ordered(balancer, name)  # some were asked before their next message came
            assert (moves["reset"], moves["unanswered"]) == (count, 0)
            assert broken(report, name, "a") == count
        assert [one for one in report["tcp"]["broken"] if one[2] != "a"] == []
        assert report["udp"]["moved"] == report["udp"]["lost"] == []
        assert all(worker["unaccounted"] == 0 for worker in balancer.status()["workers"])
    finally:
        load.end()


def test_clients_that_send_nothing_are_asked_and_reset(lab, balancer):
    vip, port, count = DSR.vips[0], 7000, 60
    command = ["/usr/bin/python3", "-c", IDLE_CLIENTS, vip, str(port), str(count), "20"]
    clients = Process(lab.run, lab.namespace("client"), command, lab.run.folder / "idle.log")
    try:
        process.wait_until(lambda: "ready" in clients.said(), "the connections", 10)
        assert flows(balancer, "--service", DSR.name)["matched"] == count
        done = balancer.cli("flows", "reset", "--service", DSR.name, "-o", "json")
        assert json.loads(done.out)["counts"]["reset"] == count
        process.wait_until(lambda: "reset" in clients.said(), "the resets", 25)
        assert f"reset {count}\n" in clients.said()
        newest(balancer, "flows_reset")
        assert ordered(balancer, DSR.name) == {"reset": count, "asked": count, "unanswered": 0}
        assert flows(balancer, "--service", DSR.name)["matched"] == 0
    finally:
        clients.terminate()


def test_flows_that_are_moved_go_on_where_the_sockets_are(lab, balancer):
    lab.in_namespace("be-a", "ip", "address", "add", f"{TWIN}/24", "dev", "eth0")
    text = balancer.configuration.text()
    line = next(one for one in text.splitlines() if "name: a," in one)
    twin = line.replace("name: a,", "name: twin,").replace("10.0.3.11", TWIN)
    twin = twin.replace("weight: 100", "weight: 0")
    head, tail = text.split(f"name: {DSR.name}", 1)
    balancer.write(head + f"name: {DSR.name}" + tail.replace(line, line + "\n" + twin, 1))
    assert balancer.reload_by_signal()["last_reload"]["result"] == "applied"
    balancer.wait_member(DSR.name, "twin", "health", "up")
    load = MessageLoad(lab, LoadPlan([target(DSR)]))
    try:
        load.wait_answered()
        had = load.report()
        there = sum(had[kind]["open"][DSR.name]["a"] for kind in KINDS)
        words = ("flows", "move", f"{DSR.name}/a", f"{DSR.name}/twin", "-o", "json")
        assert json.loads(balancer.cli(*words, "--dry-run").out)["counts"]["matched"] == there
        done = balancer.cli(*words)
        assert json.loads(done.out)["counts"]["moved"] == there, done.out
        assert flows(balancer, "--backend", f"{DSR.name}/twin")["matched"] == there
        assert flows(balancer, "--backend", f"{DSR.name}/a", "--protocol", "tcp")["matched"] == 0
        report = load.settle(process.now())
        for kind in KINDS:
            assert report[kind]["moved"] == report[kind]["lost"] == report[kind]["broken"] == []
        moved = next(
            one["moved"]["operator"]
            for one in newest(balancer, "flows_move")["services"]
            if one["service"] == DSR.name
        )
        assert moved == there
    finally:
        load.end()
    datagrams = MessageLoad(lab, LoadPlan([target(DSR, connections=0)]))
    try:
        datagrams.wait_answered()
        had = datagrams.report()["udp"]["open"][DSR.name]["b"]
        done = balancer.cli("flows", "move", f"{DSR.name}/b", f"{DSR.name}/c", "-o", "json")
        counted = json.loads(done.out)["counts"]["moved"]
        report = datagrams.settle(process.now())
        seen = [one for one in report["udp"]["moved"] if one[1:] == [DSR.name, "b", "c"]]
        assert len(seen) == had <= counted
        assert len(report["udp"]["moved"]) == had and report["udp"]["lost"] == []
    finally:
        datagrams.end()
    refused = balancer.cli("flows", "move", "web/a", "web/b")
    assert refused.status == 5 and "in mode nat" in refused.err
    refused = balancer.cli("flows", "move", f"{DSR.name}/a", f"{DSR.name}/b", "--port", "80")
    assert refused.status == 2
