"""The way from WAT to subset on a Spark standalone cluster, from and to an S3 server, held beside the same commands run here.

Two Workers in network namespaces of their own (or on loopback), code as dist/webpairs.zip, Python packages as
dist/environment.pex; every stage twice, without and with speculative execution, then the faults of bench.cluster_faults. Prints a
table and one JSON line, written to bench/results/cluster.json where all of it was run. `bench/cluster.sh` makes what it needs.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench.cluster_compare import counts, differences, subset_rows
from bench.cluster_cost import JobCost, measured
from bench.cluster_flow import STAGES, SUBSET, Flow, properties, run_here, script
from bench.cluster_inputs import make_inputs, upload
from bench.cluster_machines import CODE, Cluster, Network, cluster, loopback
from bench.cluster_network import hindrance, namespaces
from bench.cluster_store import Store, store
from bench.measure import table
from bench.places import REPOSITORY
from bench.result import Figure, finish, result, versions
from pipeline import io
from pipeline.demo.server import ProxyServer
from pipeline.demo.site import Site

PACKED = REPOSITORY / "dist" / "environment.pex"
BUCKET = "s3://cluster"
_PAIRS = 1000
_RECIPE = REPOSITORY / "bench" / "cluster_recipe.toml"
# As eager as Spark can be told to be: whatever runs when a core is idle is started again.
_EAGER = {"quantile": "0.1", "multiplier": "1.01", "interval": "50ms", "minTaskRuntime": "0ms"}
_SPECULATION = {
    "off": {"spark.speculation": "false"},
    "on": {"spark.speculation": "true", **{f"spark.speculation.{name}": value for name, value in _EAGER.items()}},
}
_LIBRARIES = ("pyspark", "pex", "moto", "s3fs", "fsspec", "pyarrow", "torch")


def main() -> None:
    """Run it all. Raises SystemExit where a stage fails or an output differs."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    folder = Path(mkdtemp(prefix="webpairs-cluster-"))
    try:
        _run(options, folder)
    finally:
        if options.keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder)


def _run(options: argparse.Namespace, folder: Path) -> None:
    web, inputs = make_inputs(folder, options.pairs)
    here = folder / "here"
    with _network(options, folder / "cluster") as network, store(folder / "store", network.head.address) as objects:
        os.environ.update(objects.environment)
        size = upload(inputs, f"{BUCKET}/inputs")
        print(f"inputs: {size / 1e6:.1f} MB to {BUCKET}", flush=True)
        recipe = Path(shutil.copy(_RECIPE, folder))
        with Site(web.site) as site, ProxyServer(site.lookup, host=network.head.address) as proxy:
            flows = {
                name: Flow(inputs=f"{BUCKET}/inputs", root=f"{BUCKET}/{name}", proxy=proxy.proxy_url, recipe=recipe)
                for name in _SPECULATION
            }
            local = Flow(inputs=str(inputs), root=str(here), proxy=proxy.proxy_url, recipe=recipe)
            with cluster(
                folder / "cluster", network=network, packed=_packed(options), environment=objects.environment
            ) as machines:
                costs = {name: _submit_all(machines, objects, flows[name], name) for name in flows}
            for stage in STAGES:
                print(f"here: {run_here(local, stage)}", flush=True)
        found = {name: _differences(flow, local) for name, flow in flows.items()}
        rows = [_row(stage, cost, flows["off"]) for stage, cost in costs["off"].items()]
    print(f"\n{table(rows)}\n", flush=True)
    facts = {"machines": "namespaces" if network.machines[0].enter else "loopback", "workers": len(network.machines)}
    copies = sum(cost.speculative_tasks for cost in costs["on"].values())
    _report(options, rows, found, copies, {**facts, "faults": _faults(options, folder)})


@contextmanager
def _network(options: argparse.Namespace, folder: Path) -> Iterator[Network]:
    """Namespaces where they can be made and are wanted, else loopback."""
    reason = "--loopback was given" if options.loopback else hindrance()
    if reason:
        print(f"machines: processes on loopback ({reason})", flush=True)
        yield loopback()
        return
    folder.mkdir()
    with namespaces(folder) as network:
        places = ", ".join(f"{machine.name} {machine.address}" for machine in (network.head, *network.machines))
        print(f"machines: network, process and mount namespaces ({places})", flush=True)
        yield network


def _packed(options: argparse.Namespace) -> Path | None:
    return None if options.loopback and options.own_python else PACKED


def _submit_all(machines: Cluster, objects: Store, flow: Flow, speculation: str) -> dict[str, JobCost]:
    """Every stage by spark-submit, and what it cost. Raises SystemExit where one fails."""
    events = machines.folder / "events"
    events.mkdir(exist_ok=True)
    log = {"enabled": "true", "dir": events.as_uri(), "rolling.enabled": "false", "compress": "false"}
    conf = {**_SPECULATION[speculation], **{f"spark.eventLog.{name}": value for name, value in log.items()}}
    costs = {}
    for stage in STAGES:
        with measured(machines, objects, events) as cost:
            done = machines.submit(script(stage), *flow.words(stage), conf=conf, properties=properties(stage))
        if done.returncode:
            raise SystemExit(f"{stage}: spark-submit ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        costs[stage] = cost
        print(f"cluster, speculation {speculation}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    return costs


def _differences(flow: Flow, local: Flow) -> list[str]:
    return [f"{stage}: {what}" for stage in STAGES for what in differences(stage, flow.folder(stage), local.folder(stage))]


def _row(stage: str, cost: JobCost, flow: Flow) -> dict[str, Any]:
    folder = flow.folder(stage)
    if stage == "filter":
        return {"stage": stage, "rows": subset_rows(io.join(folder, SUBSET)), **asdict(cost)}
    counted = counts(folder)
    return {"stage": stage, "rows": counted.get("rows_out", counted.get("rows", 0)), **asdict(cost)}


def _faults(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    if options.no_faults:
        return []
    from bench.cluster_faults import run_all

    return run_all(folder / "faults")


def _report(
    options: argparse.Namespace, rows: list[dict[str, Any]], found: Mapping[str, list[str]], copies: int, facts: dict[str, Any]
) -> None:
    """Print and write the result. Raises SystemExit where an output differs, or a fault ended as none may."""
    for name, what in found.items():
        print("\n".join([f"speculation {name}: {len(what)} differences to the local run", *what[:20]]), flush=True)
    figures = [
        Figure(key="equal_to_local", value=not found["off"], meaning="every stage's output on the cluster is the command's here"),
        Figure(key="speculation_equal", value=not found["on"], meaning="and with speculative execution, too"),
        Figure(key="speculative_tasks", value=copies, meaning="tasks that Spark started a second time in that run"),
    ]
    more = {
        **facts,
        "environment_mb": PACKED.stat().st_size / 1e6 if _packed(options) else 0,
        "code_kb": CODE.stat().st_size / 1e3,
        "pairs": options.pairs,
        "versions": versions(*_LIBRARIES),
    }
    failed = [fault["fault"] for fault in facts["faults"] if fault["outcome"].startswith("FAILED")]
    good = not any(found.values()) and not failed
    whole = good and facts["machines"] == "namespaces" and bool(facts["faults"]) and options.pairs >= _PAIRS
    finish(result("cluster", figures, rows, **more), whole=whole)
    if not good:
        raise SystemExit(f"the cluster's output is not the local one, or a fault did harm: {failed}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=_PAIRS, help=f"image links of the generated web (default: {_PAIRS})")
    parser.add_argument("--loopback", action="store_true", help="no namespaces: Workers at addresses of loopback")
    parser.add_argument("--own-python", action="store_true", help="with --loopback: executors run this Python, nothing is packed")
    parser.add_argument("--no-faults", action="store_true", help="leave the faults out")
    parser.add_argument("--keep", action="store_true", help="leave the folder with inputs and logs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
