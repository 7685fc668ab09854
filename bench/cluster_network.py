"""Machines out of namespaces: each with an address of its own behind a bridge, its own processes, and none of this checkout.

In: a number of machines, the folder that they may write to. Out: a `Network` for bench.cluster_machines. Needs root and `ip`;
`hindrance` says what is missing. A machine sees Java and Spark where they stand here and its own folder of the cluster's; the
code, the Python packages and the other machines' folders are hidden from it, so that it has only what is shipped to it.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cluster_machines import Machine, Network
from bench.places import REPOSITORY

_SUBNET = "198.18.{net}"  # of 198.18.0.0/15, set aside for benchmarks of networks (RFC 2544): nobody's hosts
_FIRST = 11  # the last number of the first machine's address; the bridge, where driver and servers are, has 1
_MARK = "wpb"  # our bridges, links and namespaces: wpbPID, wpbPIDvN, wpbPID-N
_PROGRAMS = ("ip", "unshare", "mount")
_SEES_ITS_OWN = """
mount --bind {own} /mnt && mount -t tmpfs none {folder} && mkdir -p {own} && mount --move /mnt {own} || exit 1
{hidden}
"$@" &
wait $!
"""


def hindrance() -> str | None:
    """Why machines cannot be made here, or None where they can."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"there is no `{missing[0]}`"
    if os.geteuid() != 0:
        return "it takes root"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"namespaces cannot be made ({tried.stderr.strip()})"


@contextmanager
def namespaces(folder: Path, workers: int = 2) -> Iterator[Network]:
    """`workers` machines on one bridge for the block. `folder` is the cluster's: each sees of it only what bears its name.

    Raises SystemExit where a command of the kernel's tools fails; nothing is left then, nor of runs that were killed.
    """
    _sweep()
    bridge = f"{_MARK}{os.getpid()}"
    subnet = _SUBNET.format(net=_free_net())
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        made = tuple(_machine(bridge, i, f"{subnet}.{_FIRST + i}", folder) for i in range(workers))
        head = Machine(name="head", address=f"{subnet}.1", enter=_alone(_hidden()))
        yield Network(head=head, machines=made)
    finally:
        _remove(bridge)


def _machine(bridge: str, number: int, address: str, folder: Path) -> Machine:
    """A namespace, a link to it, and the words that start a process in it as in one that has just booted."""
    space, outer, inner = f"{bridge}-{number}", f"{bridge}v{number}", f"{bridge}e{number}"
    _ip("netns", "add", space)
    _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
    _ip("link", "set", outer, "master", bridge, "up")
    for words in (["addr", "add", f"{address}/24", "dev", inner], ["link", "set", inner, "up"], ["link", "set", "lo", "up"]):
        _ip("-n", space, *words)
    name = f"worker{number}"
    places = {"own": shlex.quote(str(folder / name)), "folder": shlex.quote(str(folder))}
    script = _SEES_ITS_OWN.format(**places, hidden=_hidden())
    # Its first process ends with the one that entered, and all others with the first.
    enter = ("ip", "netns", "exec", space, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    return Machine(name=name, address=address, enter=(*enter, "bash", "-c", script, name))


def _alone(hidden: str) -> tuple[str, ...]:
    """For the driver: the head's network and files, without the checkout."""
    return ("unshare", "--mount", "bash", "-c", f'{hidden}\nexec "$@"', "head")


def _hidden() -> str:
    """Commands that lay an empty folder over each of the checkout's with code, and over the virtual environment's programs."""
    folders = [path for path in sorted(REPOSITORY.iterdir()) if path.is_dir() and path.name not in (".venv", "dist")]
    folders.append(REPOSITORY / ".venv" / "bin")
    return "\n".join(f"mount -t tmpfs none {shlex.quote(str(path))} || exit 1" for path in folders if path.is_dir())


def _free_net() -> int:
    """The third number of a subnet that no link here has."""
    taken = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    return next(net for net in range(255) if f" {_SUBNET.format(net=net)}." not in taken)


def _sweep() -> None:
    """Remove what runs left whose process is gone."""
    for path in Path("/sys/class/net").glob(f"{_MARK}*"):
        pid = path.name.removeprefix(_MARK)
        if pid.isdigit() and not Path("/proc", pid).exists():
            _remove(path.name)


def _remove(bridge: str) -> None:
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout.split()
    for space in spaces:
        if space.startswith(f"{bridge}-"):
            _run(["ip", "netns", "del", space], check=False)  # its end of the link goes with it
    for path in Path("/sys/class/net").glob(f"{bridge}v*"):
        _run(["ip", "link", "del", path.name], check=False)
    _run(["ip", "link", "del", bridge], check=False)


def _ip(*words: str) -> None:
    _run(["ip", *words], check=True)


def _run(command: Sequence[str], *, check: bool) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip()}")
