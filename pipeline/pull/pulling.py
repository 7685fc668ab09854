"""A release at a URL → a copy here: what it says of itself first, then its files side by side, SHA256SUMS last of all."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from pipeline import io
from pipeline.manifest import MANIFEST_NAME, InputReport, Manifest, Run, output_config, to_json
from pipeline.progress import progress
from pipeline.pull import PullConfig
from pipeline.pull.described import Described, described, wanted_files
from pipeline.pull.fetching import fetch
from pipeline.pull.folder import Copy, alone_in
from pipeline.pull.hub import hub_folder, token
from pipeline.pull.partial import NoRoomError
from pipeline.pull.persisting import NobodyThereError, Patience, StoppedError
from pipeline.pull.source import Source
from pipeline.pull.stored import Stored
from pipeline.pull.web import Web
from schemas.errors import UsageError, UserError

_GB = 10**9


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of one file."""

    name: str
    error: str = ""
    there_already: bool = False
    bytes_at_source: int = 0  # of a file of which columns were taken


def pull(config: PullConfig) -> Manifest:
    """Bring what is not there yet; the account, which names every file that did not come.

    Raises UserError where the source is no release or not to be trusted, where DIR holds something else, cannot be written to
    or is full; UsageError where an option names what the release has not.
    """
    if not io.is_local(config.out):
        raise UsageError(f"{config.out}: a release is pulled to a folder of this machine; copy it on from there")
    root = Path(io.absolute(config.out))
    source = source_of(config)
    patience = Patience(attempts=config.attempts, first_wait_s=config.wait_s, most_bytes=int(config.max_file_gb * _GB))
    run = Run.begun("pull", str(root), {"stage": "pull", **output_config(config), "url": source.public})
    try:
        there = described(source, config, patience)
        names = wanted_files(there, config)
        print(f"pull: {there.release.name!r}, revision {there.release.revision!r}; its SHA256SUMS hashes to {there.sums_sha256}")
        with alone_in(root):
            work = _Pull(config=config, source=source, there=there, copy=Copy(root, there, config.columns), patience=patience)
            return work.account(run, work.bring(names))
    finally:
        patience.stop.set()
        source.hang_up()


def source_of(config: PullConfig) -> Source:
    """Whatever --url means. Raises UsageError where it is the folder to write."""
    url = hub_folder(config.url, config.revision)
    if url is not None or config.url.startswith(("http://", "https://")):
        secret = token() if url is not None else None
        return Web(url or config.url, connections=config.workers, timeout_s=config.timeout_s, token=secret)
    if io.is_same(config.url, config.out):
        raise UsageError(f"{config.out}: is the release that is to be pulled; give another DIR")
    if io.is_inside(config.out, config.url):
        raise UsageError(f"{config.out}: is inside of the release that is to be pulled; give another DIR")
    return Stored(config.url)


@dataclass(frozen=True, kw_only=True)
class _Pull:
    """One run: what is brought, whence and whither."""

    config: PullConfig
    source: Source
    there: Described
    copy: Copy
    patience: Patience

    def bring(self, names: Sequence[str]) -> list[_Outcome]:
        """What became of every file: it is there, or it was brought, or it says why not."""
        if self.config.files:
            self.copy.require_same()
        found = self._each(self._look, names)
        missing = [outcome.name for outcome in found if not outcome.there_already and not outcome.error]
        if missing or any(outcome.error for outcome in found) or self.copy.of_another_revision:
            self.copy.begin()
        brought = self._each(self._bring, missing)
        return sorted([*(each for each in found if each.name not in missing), *brought], key=lambda outcome: outcome.name)

    def account(self, run: Run, outcomes: Sequence[_Outcome]) -> Manifest:
        """Make the folder a release if nothing is missing of it, and write the manifest."""
        failures = [outcome for outcome in outcomes if outcome.error]
        removed = 0 if failures else self.copy.finish()
        there_already = sum(outcome.there_already for outcome in outcomes)
        tally, release = self.patience.tally, self.there.release
        counts = {
            "files": len(outcomes),
            "files_there_already": there_already,
            "files_downloaded": len(outcomes) - there_already - len(failures),
            **({"files_failed": len(failures)} if failures else {}),
            **({"files_of_an_earlier_revision_removed": removed} if removed else {}),
            "bytes_downloaded": tally.bytes_downloaded,
            "retries": tally.retries,
            "resumed": tally.resumed,
        }
        if self.config.columns:
            counts["bytes_of_the_whole_files"] = sum(outcome.bytes_at_source for outcome in outcomes)
        manifest = run.manifest(
            counts=counts,
            inputs=[InputReport(path=each.name, status="failed" if each.error else "ok", error=each.error) for each in outcomes],
            parts=(),
            facts={"release": release.name, "revision": release.revision, "sums_sha256": self.there.sums_sha256},
        )
        with io.atomic_write(io.join(str(self.copy.root), MANIFEST_NAME)) as file:
            file.write(to_json(manifest))
        return manifest

    def _each(self, do: Callable[[str], _Outcome], names: Sequence[str]) -> list[_Outcome]:
        """Every file by itself, `--workers` at a time: one that fails costs no other; a full disk or an interrupt ends all."""
        with ThreadPoolExecutor(self.config.workers) as threads:
            try:
                futures = [threads.submit(_told, do, name) for name in names]
                return list(progress(_as_they_end(futures), total=len(futures), label="pull", unit="file"))
            except BaseException:
                self.patience.stop.set()
                self.source.hang_up()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _look(self, name: str) -> _Outcome:
        self.patience.go_on()
        return _Outcome(name=name, there_already=self.copy.has(name))

    def _bring(self, name: str) -> _Outcome:
        self.patience.go_on()
        target, total = self.copy.root / name, 0
        if self.config.columns and name in self.there.release.data:
            from pipeline.pull.columns import Wanted, fetch_columns

            columns, rows = sorted({*self.config.columns, "uid"}), self.there.release.data[name]
            wanted = Wanted(name=name, columns=columns, rows=rows, key=self.copy.key(name))
            total = fetch_columns(self.source, wanted, target, self.patience)
        else:
            fetch(self.source, name, self.there.sums[name], target, self.patience)
        self.copy.note(name)
        return _Outcome(name=name, bytes_at_source=total)


def _told(do: Callable[[str], _Outcome], name: str) -> _Outcome:
    """What became of a file; an error that is its own becomes part of that."""
    try:
        return do(name)
    except (NoRoomError, NobodyThereError, StoppedError):
        raise
    except UserError as error:
        return _Outcome(name=name, error=str(error))
    except Exception as error:  # noqa: BLE001 - one file costs no other; the manifest names it
        return _Outcome(name=name, error=f"{type(error).__name__}: {error}")


def _as_they_end(futures: "list[Future[_Outcome]]") -> Iterator[_Outcome]:
    for future in as_completed(futures):
        yield future.result()
