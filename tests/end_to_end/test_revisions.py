# SPDX-License-Identifier: Apache-2.0
"""The way back to an earlier configuration, under traffic and over control's death."""

from conftest import NAT, new_configuration, running_balancer
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.process import wait_until
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


def test_a_file_on_trial_is_taken_back_and_loses_nothing(lab, binaries):
    """Planned, applied to be confirmed, not confirmed; control is killed meanwhile."""
    with running_balancer(lab, binaries, new_configuration(lab, (NAT,))) as balancer:
        load = MessageLoad(lab, LoadPlan([target(NAT)]))
        load.wait_answered()
        candidate = balancer.configuration.folder / "candidate.yaml"
        candidate.write_text(balancer.configuration.text().replace("weight: 100", "weight: 90", 1))
        plan = balancer.cli("plan", str(candidate))
        assert plan.status == 0, plan.err
        assert "backend a: weight 100 -> 90" in plan.out
        planned = next(line for line in plan.out.splitlines() if "slots moved" in line)
        applied = balancer.cli("apply", str(candidate), "--confirm", "10s")
        assert applied.status == 0, applied.err
        assert planned in applied.out, "what was planned is what happened"
        assert "revision 2 falls back to 1 in 10 s" in applied.out
        restart_control(balancer)
        assert balancer.status()["trial"]["falls_back_to"] == 1
        wait_until(lambda: balancer.status()["revision"] == 3, "the way back", 15.0)
        assert balancer.members()[("web", "a")]["weight"] == 100
        again = balancer.cli("apply", str(candidate), "--confirm", "60s")
        assert again.status == 0, again.err
        assert balancer.cli("confirm", "4").status == 0
        assert balancer.status()["trial"] is None
        report = load.stop()
        for what in ("lost", "moved", "broken"):
            assert counted(report, what) == 0, what
