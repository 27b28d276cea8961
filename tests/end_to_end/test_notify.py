# SPDX-License-Identifier: Apache-2.0
"""What both processes tell systemd, read from a notification socket of our own (sd_notify(3))."""

import os
import signal
import socket
import subprocess
import time

import pytest

pytestmark = [pytest.mark.quick, pytest.mark.plain]

CONFIGURATION = """\
version: 1
dataplane: {{workers: 1, flows: 1k, huge_pages: false, instance: notify-{pid},
  socket: {folder}/dataplane.sock, directory: {folder}/dataplane, state_file: {folder}/state}}
ports:
  p0: {{device: "null"}}
services:
  - name: web
    vips: [203.0.113.10]
    ports: [tcp/80]
    mode: dsr
    check: none
    backends: [{{name: a, address: 10.0.3.11}}]
control: {{socket: {folder}/control.sock, directory: {folder}/control, metrics: none}}
"""


class Unit:
    """One process as systemd would start it."""

    def __init__(self, folder, command):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify.sock"))
        self._socket.settimeout(20)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify.sock"),
            "WATCHDOG_USEC": "2000000",
        }
        environment.pop("WATCHDOG_PID", None)
        self.process = subprocess.Popen([str(word) for word in command], env=environment)

    def wait_for(self, wanted: str) -> dict[str, str]:
        """The first notification that has this line."""
        while True:
            lines = self._socket.recv(4096).decode().split("\n")
            if wanted in lines:
                return dict(line.partition("=")[::2] for line in lines if line)

    def end(self) -> int:
        self.process.terminate()
        self.wait_for("STOPPING=1")
        status = self.process.wait(15)
        self._socket.close()
        return status


@pytest.fixture
def site(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text(CONFIGURATION.format(folder=tmp_path, pid=os.getpid()))
    return file


def test_control_tells_ready_watchdog_reloading_and_stopping(binaries, tmp_path, site):
    unit = Unit(tmp_path, [binaries / "holdfast", "control", "--config", site])
    try:
        unit.wait_for("READY=1")
        unit.wait_for("WATCHDOG=1")
        before = time.monotonic_ns() // 1000
        unit.process.send_signal(signal.SIGHUP)
        reloading = unit.wait_for("RELOADING=1")
        # Since systemd 253 a reload without the time at which it began is ignored.
        assert int(reloading["MONOTONIC_USEC"]) >= before
        unit.wait_for("READY=1")
        assert unit.end() == 0
    finally:
        unit.process.kill()


def test_the_dataplane_tells_ready_watchdog_and_stopping(binaries, tmp_path, site):
    startup = tmp_path / "startup"
    made = subprocess.run(
        [binaries / "holdfast", "startup", "--config", site, "--out", startup], check=False
    )
    assert made.returncode == 0
    unit = Unit(tmp_path, [binaries / "holdfast-dataplane", "--startup", startup])
    try:
        unit.wait_for("READY=1")
        unit.wait_for("WATCHDOG=1")
        assert unit.end() == 0
    finally:
        unit.process.kill()
