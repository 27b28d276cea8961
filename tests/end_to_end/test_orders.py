# SPDX-License-Identifier: Apache-2.0
"""What an operator orders of backends beside the file: it holds, survives, and is refused in time."""

import os
import signal
from dataclasses import replace

from conftest import NAT, new_configuration, running_balancer
from holdfast_lab import process
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_failover import counted
from test_forwarding import target

ONE = (NAT,)


def restart_control(balancer) -> None:
    """Kills control and waits for the one that the supervisor starts to have adopted."""
    old = balancer.pid_of("control")
    os.kill(old, signal.SIGKILL)
    process.wait_until(lambda: balancer.pid_of("control") not in (0, old), "a new control")

    def adopted() -> bool:
        return balancer.cli("status").status == 0 and balancer.status().get("adopted_ms", -1) >= 0

    process.wait_until(adopted, "the adoption")


def test_orders_hold_lose_nothing_and_survive_controls_death(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, ONE)) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        assert balancer.cli("maintenance", "web/a", "--reason", "disk").status == 0
        assert balancer.cli("weight", "web/b", "20").status == 0
        refused = balancer.cli("drain", "b", "c")
        assert refused.status == 5
        assert "would be left with 0 of 3" in refused.err
        assert refused.out == "b: web/b\nc: web/c\n"
        before = balancer.members()
        restart_control(balancer)
        assert balancer.status()["adoption_state_changes"] == 0
        after = balancer.members()
        assert after[("web", "a")]["admin"] == "maintenance"
        assert after[("web", "a")]["drift"][0]["reason"] == "disk"
        assert after[("web", "b")]["weight"] == 20
        assert after[("web", "a")]["new_flows"] == before[("web", "a")]["new_flows"]
        report = load.stop()
        for what in ("lost", "moved", "broken"):
            assert counted(report, what) == 0, what
        assert "the file says enabled" in balancer.cli("backends").out


def test_a_drain_ends_at_its_deadline_while_control_hangs(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, ONE)) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        assert balancer.cli("drain", "web/a", "--deadline", "2s").status == 0
        flows = balancer.members()[("web", "a")]["flows"]
        os.kill(balancer.pid_of("control"), signal.SIGSTOP)
        try:
            # The CLI asks the dataplane itself now.
            balancer.wait_member("web", "a", "disposition", "reset")
            process.wait_until(
                lambda: balancer.members()[("web", "a")]["flows"] < flows, "the resets"
            )
        finally:
            os.kill(balancer.pid_of("control"), signal.SIGCONT)
        report = load.stop()
        for what in ("lost", "moved", "broken"):
            assert counted(report, what, without="a") == 0, what
        balancer.wait_member("web", "a", "admin", "draining")


def test_a_migration_moves_no_flow_and_sends_new_ones_to_the_other(lab, binaries):
    service = replace(NAT, weights={"a": 100, "b": 100, "c": 0})
    with running_balancer(lab, binaries, new_configuration(lab, (service,))) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        assert balancer.cli("migrate", "web/a", "web/c", "--reason", "old host").status == 0
        before = balancer.members()
        assert before[("web", "a")]["admin"] == "draining"
        assert before[("web", "c")]["weight"] == 100
        more = MessageLoad(lab, LoadPlan([target(NAT)]))
        more.wait_answered()
        after = balancer.members()
        assert after[("web", "a")]["new_flows"] == before[("web", "a")]["new_flows"]
        assert after[("web", "c")]["new_flows"] > before[("web", "c")]["new_flows"]
        restart_control(balancer)
        assert balancer.status()["adoption_state_changes"] == 0
        assert balancer.members()[("web", "c")]["drift"][0]["what"] == "slots of a"
        for one in (load, more):
            report = one.stop()
            for what in ("lost", "moved", "broken"):
                assert counted(report, what) == 0, what


def test_a_removed_backend_keeps_its_flows_and_comes_back_when_enabled(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, ONE)) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        answer = balancer.cli("drain", "web/a", "--deadline", "1s", "--then", "remove")
        assert answer.status == 0
        balancer.wait_member("web", "a", "admin", "removed")
        generation = balancer.status()["generation"]
        assert balancer.members()[("web", "a")]["flows"] > 0
        assert balancer.cli("enable", "web/a").status == 0
        assert balancer.status()["generation"] > generation
        balancer.wait_member("web", "a", "disposition", "new")
        report = load.stop()
        for what in ("lost", "moved", "broken"):
            assert counted(report, what) == 0, what
