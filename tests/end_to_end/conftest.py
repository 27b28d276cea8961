# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests: a lab per module, Holdfast per test.

HOLDFAST_BINARIES names the folder with the programs under test (default: build/dev). Where the
machine cannot make namespaces every test is skipped, with what is lacking. HOLDFAST_FIGURES names
the file that takes the figures of the tests of continuity.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support" / "lab"))

from holdfast_lab import environment, run_record  # noqa: E402
from holdfast_lab.backends import Backend  # noqa: E402
from holdfast_lab.balancer import Balancer  # noqa: E402
from holdfast_lab.configuration import Configuration, Service  # noqa: E402
from holdfast_lab.figures import Figures  # noqa: E402
from holdfast_lab.promises import Measured  # noqa: E402
from holdfast_lab.topology import Topology  # noqa: E402

WEIGHTS = {"a": 100, "b": 100, "c": 100}
NAT = Service("web", "nat", ("203.0.113.10",), WEIGHTS)
DSR = Service("web-dsr", "dsr", ("203.0.113.11",), WEIGHTS)
NAT_V6 = Service("web6", "nat", ("2001:db8::10",), WEIGHTS)
DSR_V6 = Service("web6-dsr", "dsr", ("2001:db8::11",), WEIGHTS)
SERVICES = (NAT, DSR, NAT_V6, DSR_V6)
FIGURES = Figures()
MISSED_BEFORE = pytest.StashKey[int]()


def pytest_configure(config):
    # A shell's background job ignores it, and so would all that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "quick: also run by ./run test --quick")
    config.addinivalue_line("markers", "plain: needs no namespaces, so it always runs")
    config.addinivalue_line("markers", "continuity(injected): a row of ./run continuity")
    # Before anything is collected: this may start the whole program again in a user namespace.
    config.lacks = _lacks()


def _lacks() -> list:
    if environment.is_inside():
        environment.mount_tmpfs("/run")
        return environment.lacks_here()
    lacks = environment.lacks_here()
    if lacks and not environment.missing_programs() and not environment.user_namespace_refused():
        environment.enter(run_record.sweep_killed)
    return lacks


def pytest_collection_modifyitems(config, items):
    if config.lacks:
        why = "; ".join(str(lack) for lack in config.lacks)
        for item in items:
            if item.get_closest_marker("plain") is None:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def measured(request) -> Measured:
    """Figures under the name that the test's marker `continuity` gives, with its parameters."""
    marker = request.node.get_closest_marker("continuity")
    parameters = getattr(request.node, "callspec", None)
    named = {} if parameters is None else parameters.params
    return Measured(FIGURES, marker.args[0].format(**named))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that broke off before its figures is a figure that was missed; a skipped one is one
    that nobody can judge here."""
    known = item.stash.setdefault(MISSED_BEFORE, len(FIGURES.failed()))
    report = (yield).get_result()
    if report.failed and "continuity" in report.keywords and len(FIGURES.failed()) == known:
        reason = str(getattr(report.longrepr, "reprcrash", report.longrepr)).splitlines()[0]
        FIGURES.holds(item.name, "broke off", "done", False, reason=reason)
    elif report.skipped and "continuity" in report.keywords:
        FIGURES.not_judged(item.name, "done", str(report.longrepr[-1]))


def pytest_sessionfinish():
    if path := os.environ.get("HOLDFAST_FIGURES"):
        FIGURES.write_json(path)


@pytest.fixture(scope="session")
def binaries() -> Path:
    return Path(os.environ.get("HOLDFAST_BINARIES", ROOT / "build" / "dev")).resolve()


def owned_vips(services) -> tuple[str, ...]:
    """The VIPs that a backend has to own: in `nat` it sees none."""
    return tuple(vip for one in services if one.mode != "nat" for vip in one.vips)


@contextlib.contextmanager
def running_lab(vips, kind=Topology):
    """Namespaces, and backends a, b, c and d, owners of the VIPs, with their servers running."""
    run = run_record.RunRecord.begin()
    try:
        topology = kind(run, dsr_vips=vips).build()
        topology.servers = {name: Backend(topology, name).start() for name in topology.backends}
        for server in topology.servers.values():
            server.wait_ready()
        yield topology
    finally:
        run.finish()


@contextlib.contextmanager
def running_balancer(lab, binaries, configuration):
    """Holdfast, ready; stopped in order afterwards."""
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        balancer.wait_ready()
        yield balancer
    finally:
        balancer.stop()


def new_configuration(lab, services) -> Configuration:
    """In a folder of its own."""
    name = f"test-{lab.run.id}-{len(list(lab.run.folder.iterdir()))}"
    return Configuration(lab.run.folder / f"holdfast-{name}", name, services)


@pytest.fixture(scope="module")
def lab():
    with running_lab(owned_vips(SERVICES)) as lab:
        yield lab


@pytest.fixture
def configuration(lab) -> Configuration:
    return new_configuration(lab, SERVICES)


@pytest.fixture
def balancer(lab, binaries, configuration):
    """Holdfast with all four services."""
    with running_balancer(lab, binaries, configuration) as balancer:
        yield balancer
