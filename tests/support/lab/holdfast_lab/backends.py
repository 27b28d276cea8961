# SPDX-License-Identifier: Apache-2.0
"""A backend of the lab: a real nginx and a message server, together one process group.

Killing the group is the lab's "backend killed": every listening socket vanishes at once, the
host's kernel stays and refuses, as after a crash of a whole service.
"""

from dataclasses import dataclass, field
from pathlib import Path

from . import process, topology
from .environment import may_change_groups
from .process import Process

HTTP_PORT = 80
MESSAGE_TCP_PORT = 7000
MESSAGE_UDP_PORT = 7001

_NGINX = """\
daemon off;
{user}
pid "{folder}/nginx.pid";
worker_processes 1;
error_log "{folder}/nginx.log" warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type text/plain;
  client_body_temp_path "{folder}/body";
  proxy_temp_path "{folder}/proxy";
  fastcgi_temp_path "{folder}/fastcgi";
  uwsgi_temp_path "{folder}/uwsgi";
  scgi_temp_path "{folder}/scgi";
  server {{
    listen {port} backlog=8192;
    listen [::]:{port} backlog=8192;
    location = /healthz {{ return 200 "ok\\n"; }}
    location / {{ return 200 "{name}\\n"; }}
  }}
}}
"""


@dataclass
class Backend:
    """Starts, kills and starts again the servers of one backend."""

    lab: topology.Topology
    name: str
    http_port: int = HTTP_PORT
    _leader: Process | None = field(default=None, init=False)
    _messages: Process | None = field(default=None, init=False)

    @property
    def folder(self) -> Path:
        return self.lab.run.folder / f"backend-{self.name}"

    def start(self) -> "Backend":
        self.folder.mkdir(exist_ok=True)
        namespace = self.lab.backend(self.name)
        self._leader = Process(
            self.lab.run,
            namespace,
            ["nginx", "-e", str(self.folder / "nginx.log"), "-c", str(self._configuration())],
            self.folder / "nginx.out",
        )
        addresses = [topology.backend_v4(self.name), topology.backend_v6(self.name)]
        server = Path(__file__).with_name("message_server.py")
        ports = [str(MESSAGE_TCP_PORT), str(MESSAGE_UDP_PORT)]
        log = self.folder / "messages.out"
        log.unlink(missing_ok=True)
        self._messages = Process(
            self.lab.run,
            namespace,
            ["/usr/bin/python3", str(server), self.name, *ports, *addresses, *self.lab.dsr_vips],
            log,
            group=self._leader.pid,
        )
        return self

    def wait_ready(self) -> None:
        assert self._messages is not None
        messages = self._messages
        process.wait_until(
            lambda: "ready" in messages.said() or not messages.is_running(),
            f"the message server of backend {self.name}",
        )
        process.wait_until(self._answers, f"nginx of backend {self.name}: see {self.folder}")

    def decapsulate(self) -> None:
        """Takes the outer headers of ipip, gre and gue off, by a TUN device."""
        namespace = self.lab.backend(self.name)
        program = Path(__file__).with_name("decapsulator.py")
        end = Process(
            self.lab.run,
            namespace,
            ["/usr/bin/python3", str(program), "tunnel0"],
            self.folder / "decapsulator.out",
        )
        process.wait_until(
            lambda: "ready" in end.said() or not end.is_running(),
            f"the decapsulator of backend {self.name}",
        )
        process.output_of(namespace, "ip", "link", "set", "tunnel0", "up")

    def kill(self) -> float:
        """SIGKILLs the whole process group. Returns CLOCK_REALTIME just before."""
        assert self._leader is not None and self._messages is not None
        killed_at = process.now()
        process.kill_group(self._leader)
        self._messages.popen.wait()
        return killed_at

    def _answers(self) -> bool:
        listening = process.output_of(self.lab.backend(self.name), "ss", "-Hltn")
        return f":{self.http_port} " in listening

    def _configuration(self) -> Path:
        # A user namespace with a single uid cannot switch user, and need not: its root is nobody.
        user = "user nobody nogroup;" if may_change_groups() else "user root root; master_process off;"
        path = self.folder / "nginx.conf"
        path.write_text(
            _NGINX.format(folder=self.folder, name=self.name, port=self.http_port, user=user)
        )
        return path
