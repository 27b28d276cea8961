# SPDX-License-Identifier: Apache-2.0
"""The way back to an earlier configuration, under traffic and over control's death."""

from conftest import NAT, new_configuration, running_balancer
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from test_failover import counted
from test_forwarding import target
from test_orders import restart_control


def test_a_rollback_loses_nothing_and_outlives_controls_death(lab, binaries):
    with running_balancer(lab, binaries, new_configuration(lab, (NAT,))) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        text = balancer.configuration.text()
        balancer.write(text.replace("weight: 100", "weight: 90", 1))
        assert balancer.cli("reload", "--wait").status == 0
        difference = balancer.cli("diff", "1", "2").out
        assert "weight: 90" in difference and difference.count("\n+") == 2
        back = balancer.cli("rollback", "--reason", "too light")
        assert back.status == 0, back.err
        assert "revision 3 is in force" in back.out
        assert "rollback to 1" in balancer.cli("history").out
        assert balancer.members()[("web", "a")]["weight"] == 100
        restart_control(balancer)
        status = balancer.status()
        assert status["revision"] == 3
        assert status["adoption_state_changes"] == 0
        assert any("the file on disk is another one" in one for one in status["notices"])
        report = load.stop()
        for what in ("lost", "moved", "broken"):
            assert counted(report, what) == 0, what
        assert balancer.cli("reload", "--wait").status == 0
        assert balancer.members()[("web", "a")]["weight"] == 90
