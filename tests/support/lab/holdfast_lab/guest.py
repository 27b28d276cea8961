# SPDX-License-Identifier: Apache-2.0
"""A machine of its own for Holdfast: QEMU (TCG, no KVM) with Debian's kernel and network cards that
DPDK drives. Its disk is an initramfs made here: busybox, the programs under test with their
libraries, kernel modules, and an init that does what docs/bare-metal.md tells the operator.

The cards are taps of the namespace that QEMU runs in; a shell of the guest is on a socket.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import process
from .process import Process
from .run_record import RunRecord

QEMU = "qemu-system-x86_64"
PROGRAMS = {"qemu-system-x86": QEMU, "bird2": "bird", "kmod": "modprobe", "cpio": "cpio"}
BUSYBOX = Path("/bin/busybox")
MODULES = ("tun", "vfio-pci", "vfio_iommu_type1", "uio_pci_generic")
CARDS = ("0000:00:04.0", "0000:00:05.0")
_HUGE_PAGES = 160  # of 2 MiB
_MEMORY_MIB = 1024

_INIT = """\
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/hugepages /dev/net
mount -t tmpfs run /run
mount -t tmpfs shm /dev/shm
mount -t hugetlbfs -o mode=1777 huge /dev/hugepages
mkdir -p /run/holdfast/dataplane
chown holdfast:holdfast /run/holdfast/dataplane
ip link set lo up
while read -r file options; do insmod "/modules/$file" $options; done </modules/order
. /etc/cards
for card in $CARDS; do
  device=/sys/bus/pci/devices/$card
  [ ! -e $device/driver ] || echo $card >$device/driver/unbind
  echo $DRIVER >$device/driver_override
  echo $card >/sys/bus/pci/drivers_probe
done
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo
echo "guest: up after $(cut -d' ' -f1 /proc/uptime) s"
while read -r line <&3; do eval "$line" >&3 2>&1; done
"""


@dataclass(frozen=True)
class Card:
    """What stands in the two slots, and who drives it in the guest's kernel."""

    model: str  # QEMU's
    driver: str  # vfio-pci, behind an emulated IOMMU, or uio_pci_generic
    queues: int = 1  # of virtio, which then spreads what it receives by RSS

    @property
    def has_iommu(self) -> bool:
        return self.driver == "vfio-pci"


def kernel_version() -> str:
    """The newest of Debian's kernels that is installed; empty: there is none."""
    found = [path.name.removeprefix("vmlinuz-") for path in Path("/boot").glob("vmlinuz-*-amd64")]
    usable = [one for one in found if Path("/lib/modules", one, "kernel").is_dir()]
    return max(usable, key=lambda one: [int(word) for word in re.findall(r"\d+", one)], default="")


def lacks() -> str:
    missing = [package for package, name in PROGRAMS.items() if shutil.which(name) is None]
    missing += [] if BUSYBOX.exists() else ["busybox-static"]
    missing += [] if kernel_version() else ["linux-image-amd64"]
    return f"not installed: {', '.join(missing)}" if missing else ""


def build_image(folder: Path, programs: list[Path], files: dict[str, str]) -> Path:
    """An initramfs with these programs in /bin, and these texts."""
    root = folder / "root"
    for name in ("bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp", "var/lib"):
        (root / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    for program in programs:
        shutil.copy2(program, root / "bin" / program.name)
    _copy_libraries(programs, root)
    _copy_modules(root / "modules")
    accounts = "root:x:0:0::/:/bin/sh\nholdfast:x:990:990::/:/bin/false\n"
    group = "root:x:0:\nholdfast:x:990:\n"
    for name, text in {**files, "etc/passwd": accounts, "etc/group": group, "init": _INIT}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "init").chmod(0o755)
    image = folder / "initramfs"
    names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
    with open(image, "wb") as output:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"],
            cwd=root, input=names, stdout=output, check=True,
        )  # fmt: skip
    shutil.rmtree(root)
    return image


def _copy_libraries(programs: list[Path], root: Path) -> None:
    said = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, check=True
    ).stdout
    for name in sorted(set(re.findall(r"(/\S+\.so\S*) \(0x", said))):
        target = root / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(name, target)


def _copy_modules(folder: Path) -> None:
    order: list[str] = []
    for module in MODULES:
        said = subprocess.run(
            ["modprobe", "--set-version", kernel_version(), "--show-depends", module],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for path in re.findall(r"^insmod (\S+)", said, re.MULTILINE):
            name = Path(path).name
            if name not in order:
                shutil.copy2(path, folder / name)
                order.append(name)
    (folder / "order").write_text("".join(f"{name}\n" for name in order))


class Guest:
    """A running guest in `namespace`, its cards on the taps there."""

    def __init__(self, run: RunRecord, namespace: str, card: Card, image: Path, taps: list[str]):
        self.card = card
        self.folder = run.folder
        self.console = run.folder / "console.log"
        self.console.unlink(missing_ok=True)
        self.started = time.monotonic()
        self.process = Process(
            run, namespace, self._command(card, image, taps), run.folder / "qemu.log"
        )
        self._shell = self._connect("shell")
        self._monitor = self._connect("monitor").makefile("rw")
        self._monitor.readline()
        self._ask_monitor("qmp_capabilities")

    def _command(self, card: Card, image: Path, taps: list[str]) -> list[str]:
        machine = "q35,kernel-irqchip=off" if card.has_iommu else "q35"
        boot = f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr hugepages={_HUGE_PAGES}"
        # On busy cores the kernel's look at its timer comes to nothing, and it panics.
        boot += " no_timer_check"
        boot += " intel_iommu=on iommu=pt" if card.has_iommu else ""
        command = [
            QEMU, "-machine", machine, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
            "-m", str(_MEMORY_MIB), "-display", "none", "-nodefaults", "-no-reboot",
            "-kernel", f"/boot/vmlinuz-{kernel_version()}", "-initrd", str(image),
            "-append", boot,
            "-serial", f"file:{self.console}",
            "-serial", f"unix:{self.folder}/shell,server=on,wait=off",
            "-qmp", f"unix:{self.folder}/monitor,server=on,wait=off",
        ]  # fmt: skip
        if card.has_iommu:
            command += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
        modern = card.has_iommu and card.model.startswith("virtio")
        options = ",disable-legacy=on,iommu_platform=on,ats=on" if modern else ""
        queues = ""
        if card.queues > 1:
            queues = f",queues={card.queues}"
            options += f",mq=on,rss=on,vectors={2 * card.queues + 2}"
        for number, tap in enumerate(taps):
            command += [
                "-netdev", f"tap,id=net{number},ifname={tap},script=no,downscript=no{queues}",
                "-device", f"{card.model},id=card{number},netdev=net{number},addr={4 + number:#x},"
                f"mac=52:54:00:00:00:{number + 1:02x}{options}",
            ]  # fmt: skip
        return command

    def _connect(self, name: str) -> socket.socket:
        link = socket.socket(socket.AF_UNIX)
        process.wait_until(
            lambda: link.connect_ex(f"{self.folder}/{name}") == 0 or not self.process.is_running(),
            f"QEMU: see {self.process.log}",
        )
        if not self.process.is_running():
            raise RuntimeError(f"QEMU ended: {self.process.said()}")
        return link

    def wait_up(self, limit_seconds: float = 90.0) -> float:
        """Until its init has come to its end."""
        process.wait_until(
            lambda: "guest: up" in self.said() or not self.process.is_running(),
            f"the guest: see {self.console}",
            limit_seconds,
        )
        return time.monotonic() - self.started

    def said(self) -> str:
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def run(self, command: str, limit_seconds: float = 30.0) -> str:
        """What a shell command, one line, printed in the guest. Fails when it fails."""
        end = f"end-{time.monotonic_ns()}"
        self._shell.settimeout(limit_seconds)
        self._shell.sendall(f"{{ {command}; }} </dev/null 2>&1; echo {end}=$?\n".encode())
        said = b""
        while not (found := re.search(rf"{end}=(\d+)\r?\n".encode(), said)):
            said += self._shell.recv(65536)
        text = said[: found.start()].decode(errors="replace")
        if found.group(1) != b"0":
            raise RuntimeError(f"in the guest: {command}: {text}")
        return text

    def set_link(self, number: int, up: bool) -> None:
        """Pulls the cable of a card, or puts it back."""
        self._ask_monitor("set_link", name=f"card{number}", up=up)

    def stop(self) -> None:
        self.process.terminate(5.0)

    def _ask_monitor(self, verb: str, **arguments) -> None:
        self._monitor.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
        self._monitor.flush()
        while True:
            answer = json.loads(self._monitor.readline())
            if "error" in answer:
                raise RuntimeError(f"{verb}: {answer['error']}")
            if "return" in answer:
                return


def executable(name: str) -> Path:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found is not None
    return Path(found)
