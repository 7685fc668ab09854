"""nginx on loopback for as long as a block lasts: one folder over HTTP and HTTPS, at ten thousand addresses.

In: the folder to serve. Out: ports, and a bundle of authorities with the throw-away one that signed the certificates. A pool's
URLs lie on thousands of hosts, and a TLS handshake per host is most of what HTTPS costs: so every address 127.0.G.N is a host.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import certifi

_GROUPS, _PER_GROUP = 200, 50  # a certificate names the 50 hosts of its group: as large as a content network's
HOSTS = _GROUPS * _PER_GROUP
_WORKERS = 2
_STARTS_WITHIN_S = 20
_CONFIG = """
daemon off;
user {user};
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 60s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  types {{ image/jpeg jpg; image/png png; image/webp webp; image/gif gif; }}
  map $server_addr $group {{ "~^127\\.0\\.(?<number>[0-9]+)\\." $number; }}
  server {{
    listen {http_port} backlog=4096;
    listen {https_port} ssl backlog=4096;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/group$group.pem;
    ssl_certificate_key {folder}/group$group.pem;
    root {root};
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running nginx: its two ports at every one of the addresses, and who vouches for its certificates."""

    http_port: int
    https_port: int
    authorities: Path

    def origin(self, scheme: str, host: int) -> str:
        """The beginning of URLs on the host with this number, 0 to HOSTS - 1."""
        return f"{scheme}://{address_of(host)}:{self.https_port if scheme == 'https' else self.http_port}"


def address_of(host: int) -> str:
    """The loopback address of the host with this number."""
    return f"127.0.{host // _PER_GROUP}.{1 + host % _PER_GROUP}"


@contextmanager
def nginx(root: Path) -> Iterator[Server]:
    """Serve the files below `root`. Raises SystemExit where nginx or openssl is missing, or nginx does not start."""
    program, openssl = _program("nginx", "nginx"), _program("openssl", "openssl")
    with TemporaryDirectory(prefix="bench-nginx-") as name:
        folder, ports = Path(name), _free_ports(2)
        _make_certificates(openssl, folder)
        config = folder / "nginx.conf"
        user = "root" if os.geteuid() == 0 else "nobody"  # the second is ignored with a warning
        config.write_text(
            _CONFIG.format(
                folder=folder, root=root.resolve(), workers=_WORKERS, http_port=ports[0], https_port=ports[1], user=user
            )
        )
        with _running([program, "-p", name, "-c", str(config), "-e", str(folder / "error.log")], folder, ports[0]):
            yield Server(http_port=ports[0], https_port=ports[1], authorities=folder / "authorities.pem")


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    # Should this process be killed, the kernel ends nginx as well.
    ending_with_us = [_program("setpriv", "util-linux"), "--pdeathsig", "TERM"]
    with (folder / "output.log").open("w") as log:
        process = subprocess.Popen([*ending_with_us, *command], stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + _STARTS_WITHIN_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                said = (folder / "output.log").read_text() + (folder / "error.log").read_text()
                raise SystemExit(f"nginx did not start: {said[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses: they were held a moment ago."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name}: not installed; it is in the Debian package {package} (apt-get install {package})")
    return found


def _make_certificates(openssl: str, folder: Path) -> None:
    """groupN.pem with key and certificate for each group, and authorities.pem: as many as a machine has, and ours.

    A short list would make loading it cheap, which is what img2dataset spends most of its time on.
    """
    key, authority, authority_key = folder / "key.pem", folder / "authority.pem", folder / "authority.key"
    common = ["-newkey", "rsa:2048", "-noenc", "-keyout", str(authority_key), "-days", "30", "-subj", "/CN=bench authority"]
    _run([openssl, "req", "-x509", *common, "-out", str(authority)])
    _run([openssl, "genrsa", "-out", str(key), "2048"])
    signing = ["-CA", str(authority), "-CAkey", str(authority_key), "-key", str(key), "-days", "30"]
    usage = ["-addext", "basicConstraints=critical,CA:FALSE"]
    for group in range(_GROUPS):
        hosts = range(group * _PER_GROUP, (group + 1) * _PER_GROUP)
        names = "subjectAltName=" + ",".join(f"IP:{address_of(host)}" for host in hosts)
        out = folder / f"group{group}.crt"
        subject = ["-subj", f"/CN=bench group {group}", "-addext", names]
        _run([openssl, "req", "-x509", *signing, *subject, *usage, "-out", str(out)])
        (folder / f"group{group}.pem").write_bytes(key.read_bytes() + out.read_bytes() + authority.read_bytes())
    (folder / "authorities.pem").write_text(Path(certifi.where()).read_text() + "\n" + authority.read_text())


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
