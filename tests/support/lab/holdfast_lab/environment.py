# SPDX-License-Identifier: Apache-2.0
"""What this machine allows, found by trying it; and the way round when it does not.

Nothing here asks for uid 0. Network namespaces, mounts, AF_PACKET, sysctls and nft are tried in a
child process each. Where one is refused the program is started again inside an unprivileged user,
mount and network namespace; where that is refused too it ends with exit code 77 and one line per
lack, each with the command that mends it.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable

EXIT_ENVIRONMENT = 77
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
INSIDE_VARIABLE = "HOLDFAST_LAB_INSIDE"
UID_VARIABLE = "HOLDFAST_LAB_UID"
PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "ethtool": "ethtool",
    "nginx": "nginx-light",
    "wrk": "wrk",
}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Lack:
    """Something the lab needs and cannot have."""

    what: str
    why: str
    mend: str

    def __str__(self) -> str:
        return f"lacking {self.what}: {self.why}; mend it with: {self.mend}"


def check_libc(result: int, what: str) -> None:
    """Raises OSError from errno when a libc call returned -1."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    check_libc(_libc.unshare(flags), "unshare")


def set_namespace(path: str) -> None:
    """Moves the calling thread into the network namespace that `path` names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check_libc(_libc.setns(descriptor, CLONE_NEWNET), f"setns {path}")
    finally:
        os.close(descriptor)


def mount_tmpfs(target: str) -> None:
    check_libc(_libc.mount(b"tmpfs", target.encode(), b"tmpfs", 0, None), f"mount {target}")


def tried_in_child(attempt: Callable[[], None]) -> str:
    """Runs `attempt` in a child process. Returns "" or why it failed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        reason = ""
        try:
            attempt()
        except (OSError, subprocess.SubprocessError) as error:
            reason = str(error) or type(error).__name__
        os.write(writer, reason.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        reason = answer.read()
    os.waitpid(child, 0)
    return reason


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def _try_namespace() -> None:
    unshare(CLONE_NEWNET)


def _try_named_namespace() -> None:
    os.makedirs("/run/netns", exist_ok=True)
    if not os.access("/run/netns", os.W_OK):
        raise OSError("/run/netns is not writable")


def _try_mount() -> None:
    unshare(CLONE_NEWNS)
    check_libc(_libc.mount(b"none", b"/", None, 0x44000, None), "mount --make-rprivate /")
    mount_tmpfs("/mnt")


def _try_af_packet() -> None:
    unshare(CLONE_NEWNET)
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)).close()


def _try_veth() -> None:
    unshare(CLONE_NEWNET)
    _run("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
    _run("ip", "link", "add", "probe2", "type", "bridge")


def _try_sysctl() -> None:
    unshare(CLONE_NEWNET)
    with open("/proc/sys/net/ipv4/ip_forward", "w") as knob:
        knob.write("1\n")


def _try_nft() -> None:
    unshare(CLONE_NEWNET)
    _run("nft", "add", "table", "netdev", "probe")


_ROOT_MEND = "run it as root, or in a container with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
_PROBES = (
    ("network namespaces", _try_namespace, _ROOT_MEND),
    ("named namespaces", _try_named_namespace, _ROOT_MEND),
    ("mounts", _try_mount, _ROOT_MEND + " --security-opt apparmor=unconfined"),
    ("AF_PACKET sockets", _try_af_packet, _ROOT_MEND + " --cap-add NET_RAW"),
    ("veth and bridge devices", _try_veth, "modprobe veth bridge"),
    ("network sysctls", _try_sysctl, "mount -o remount,rw /proc/sys"),
    ("nf_tables", _try_nft, "modprobe nf_tables nft_chain_nat"),
)
_USER_NAMESPACE_MEND = (
    "sysctl -w user.max_user_namespaces=10000 (also kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0 where they exist)"
)


def missing_programs() -> list[Lack]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [
        Lack(program, "not installed", f"apt-get install {package}")
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=path) is None
    ]


def lacks_here() -> list[Lack]:
    """Tries everything that a lab needs. Empty when it can run right here."""
    lacks = missing_programs()
    for what, attempt, mend in _PROBES:
        reason = tried_in_child(attempt)
        if reason:
            lacks.append(Lack(what, reason, mend))
    return lacks


def user_namespace_refused() -> str:
    """Returns "" when an unprivileged user, mount and network namespace can be made."""

    def attempt() -> None:
        _run("unshare", "--user", "--map-root-user", "--net", "--mount", "true")

    return tried_in_child(attempt)


def is_inside() -> bool:
    """True in the process that was started again inside a user namespace."""
    return os.environ.get(INSIDE_VARIABLE) == "1"


def outer_uid() -> int:
    """The uid of whoever started the program, also inside a user namespace."""
    return int(os.environ.get(UID_VARIABLE, os.getuid()))


def may_change_groups() -> bool:
    """False in a user namespace where setgroups(2) is denied: servers cannot switch user there."""
    try:
        with open("/proc/self/setgroups") as answer:
            return os.geteuid() == 0 and answer.read().strip() == "allow"
    except OSError:
        return os.geteuid() == 0


def give_up(lacks: list[Lack]) -> None:
    for lack in lacks:
        print(lack, file=sys.stderr)
    print("this machine lacks what the lab needs: nothing was started", file=sys.stderr)
    sys.exit(EXIT_ENVIRONMENT)


def enter(before_leaving: Callable[[], None]) -> None:
    """Makes sure that a lab can run in this process; may not return.

    Either everything works here, or the program is replaced by itself inside a user namespace, or
    it exits with 77. `before_leaving` is called before that replacement: from inside, processes of
    another user namespace can no longer be examined. Requires: no thread has been started.
    """
    os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
    if is_inside():
        mount_tmpfs("/run")
        lacks = lacks_here()
        if lacks:
            give_up(lacks)
        return
    missing = missing_programs()
    if missing:
        give_up(missing)
    lacks = lacks_here()
    if not lacks:
        return
    reason = user_namespace_refused()
    if reason:
        give_up(lacks + [Lack("unprivileged user namespaces", reason, _USER_NAMESPACE_MEND)])
    print("without the privilege here: going on inside a user namespace", file=sys.stderr)
    sys.stderr.flush()
    before_leaving()
    os.environ[INSIDE_VARIABLE] = "1"
    os.environ[UID_VARIABLE] = str(os.getuid())
    wrapper = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    os.execvp(wrapper[0], wrapper + [sys.executable] + sys.orig_argv[1:])
