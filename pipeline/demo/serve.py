"""The web of a demo that has run, served on loopback until interrupted: to run its stages by hand."""

import signal

from pipeline import io
from pipeline.demo.generate import Generated
from pipeline.demo.server import ProxyServer
from pipeline.demo.site import Site
from schemas.errors import UserError


def serve(root: str, port: int) -> None:
    """Serve ROOT/0_web on 127.0.0.1:`port` as an HTTP proxy. Raises UserError where there is no demo or the port is taken."""
    site = Generated(io.join(root, "0_web")).site
    if not io.exists(site):
        raise UserError(f"{root}: no demo has run there; run `webpairs demo --root {root}` first")
    try:
        with Site(site) as found, ProxyServer(found.lookup, port) as server:
            print(f"the demo's web: --proxy {server.proxy_url}  (stop with Ctrl-C)", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror}; give another --serve") from error
