"""nginx on loopback as a static web server of one folder, as a hub that has it as a data set, and as both over a slow line.

In: a folder. Out: addresses, and how many bytes were sent. The hub is as much of one as huggingface_hub's snapshot_download asks:
what a revision has, and each file with the revision's commit in a header.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.nginx import _free_ports, _program, _running

DATA_SET = "bench/release"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PLACES = """
    location / {{ root {root}; }}
    location /api/ {{ default_type application/json; root {folder}; }}
    location ~ ^/datasets/{data_set}/resolve/[^/]+/(.+)$ {{ alias {root}/$1; add_header X-Repo-Commit {commit}; }}
"""
_CONFIG = """
daemon off;
user {user};
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  log_format sent '$body_bytes_sent';
  access_log {folder}/access.log sent;
  sendfile on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{fast}; {places} }}
  server {{ listen 127.0.0.1:{slow}; limit_rate {slow_mb}m; {places} }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The addresses: each serves the folder at /, and is a hub."""

    fast: str
    slow: str  # each connection has `slow_mb` MB/s
    log: Path

    def bytes_sent(self) -> int:
        """Bytes of all bodies so far, those of connections that were broken too. Waits for what is still being written down."""
        time.sleep(0.3)
        return sum(map(int, self.log.read_text().split()))


@contextmanager
def hub(root: Path, *, slow_mb: int) -> Iterator[Hub]:
    """Serve the files below `root`. Raises SystemExit where nginx is missing or does not start."""
    with TemporaryDirectory(prefix="bench-hub-") as name:
        folder, (fast, slow) = Path(name), _free_ports(2)
        folder.chmod(0o755)
        _write_api(folder, root)
        places = _PLACES.format(root=root.resolve(), folder=folder, data_set=DATA_SET, commit=_COMMIT)
        user = "root" if os.geteuid() == 0 else "nobody"  # the second is ignored with a warning
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, user=user, fast=fast, slow=slow, slow_mb=slow_mb, places=places))
        command = [_program("nginx", "nginx"), "-p", name, "-c", str(config), "-e", str(folder / "error.log")]
        with _running(command, folder, fast):
            yield Hub(fast=f"http://127.0.0.1:{fast}", slow=f"http://127.0.0.1:{slow}", log=folder / "access.log")


def _write_api(folder: Path, root: Path) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    names = [path.relative_to(root).as_posix() for path in files]
    siblings = [{"rfilename": name} for name in names]
    tree = [
        {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
        for name, path in zip(names, files, strict=True)
    ]
    api = folder / "api" / "datasets" / DATA_SET
    (api / "revision").mkdir(parents=True)
    (api / "tree").mkdir()
    (api / "revision" / "main").write_text(json.dumps({"id": DATA_SET, "sha": _COMMIT, "siblings": siblings}))
    for revision in ("main", _COMMIT):
        (api / "tree" / revision).write_text(json.dumps(tree))
