"""One output shard: the samples that the plan puts there, copied as they stand, or with their faces blurred."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.download.layout import write_tar
from pipeline.manifest import PartReport
from pipeline.reshard.faces import FaceTables, NotBlurredError, Settings, treated
from pipeline.reshard.order import Chosen, ShardPart, chosen
from pipeline.reshard.sidecar import Rows
from pipeline.reshard.stretches import Members, members_of, read_all
from pipeline.stage import Part, PartFolder
from schemas.subsets import SUBSET_DTYPE, array_to_uids

if TYPE_CHECKING:
    from pipeline.reshard import ReshardConfig

PLAN_FACT = "_plan"


def write_shard(config: "ReshardConfig", part: Part, folder: PartFolder) -> PartReport:
    """Write the shard's tar and stats, and its sidecar where all input shards have one."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    copying = _Copying(config, part)
    with folder.open(config.output_shard_format.format(part.number)) as file:
        write_tar(file, copying.members())
    with folder.open(config.output_shard_stats_format.format(part.number)) as file:
        file.write(json.dumps({"successes": copying.counts["rows_out"]}).encode())
    inputs: tuple[Any, ...] = ()
    if copying.rows is not None:
        table, missing, inputs = copying.rows.table()
        copying.counts["no_sidecar_row"] += missing
        with folder.open(f"{part.name}.parquet") as file:
            pq.write_table(table, file)
    counts = {name: count for name, count in copying.counts.items() if count or name == "rows_out"}
    return PartReport(name=part.name, counts=counts, inputs=inputs, facts={PLAN_FACT: part.plan})


class _Copying:
    """Makes the members of a shard and counts them."""

    def __init__(self, config: "ReshardConfig", part: ShardPart) -> None:
        self.counts: Counter[str] = Counter(rows_out=0)
        self.rows = Rows() if all(source.sidecar for source in part.sources) else None
        self._part = part
        self._chosen = chosen(part, shuffle_bufsize=config.shuffle_bufsize, seed=config.seed)
        self._uids = array_to_uids(_uid_rows(self._chosen))
        self._faces = Settings(
            blur=config.apply_blur,
            inject=config.inject_blur_metadata,
            form=config.blur_format,
            quality=config.reencode_webp_quality,
        )
        self._boxes = self._mapped_boxes() if config.apply_blur or config.inject_blur_metadata else {}

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents, a sample's copies being read once where they follow each other."""
        runs = self._runs()
        at, length = self._chosen.picks["at"].tolist(), self._chosen.picks["length"].tolist()
        paths = [self._part.sources[place].path for place in self._chosen.sources.tolist()]
        copies = self._chosen.copies.tolist()
        requests = [(paths[run[0]], at[run[0]], length[run[0]]) for run in runs]
        for run, stretch in zip(runs, read_all(requests), strict=True):
            found = members_of(stretch)
            self.counts["odd_members"] += found.odd * len(run)
            contents = self._contents(run[0], found, len(run))
            for place in run if contents is not None else ():
                key = f"{self._uids[place]}-{copies[place]}"
                if self.rows is not None:
                    self.rows.add(self._source(place).sidecar, found.key, key)
                self.counts["rows_out"] += 1
                for suffix, content in (contents or {}).items():
                    yield f"{key}.{suffix}", content

    def _source(self, place: int) -> Any:
        return self._part.sources[int(self._chosen.sources[place])]

    def _runs(self) -> list[list[int]]:
        """Places in the shard, those together that hold copies of one sample."""
        samples = zip(self._chosen.sources.tolist(), self._chosen.picks["at"].tolist(), strict=True)
        return [[place for place, _ in run] for _, run in groupby(enumerate(samples), key=lambda each: each[1])]

    def _contents(self, place: int, found: Members, copies: int) -> dict[str, bytes] | None:
        """What is written of a sample; None for one that must not be, as its faces cannot be blurred."""
        if not (self._faces.blur or self._faces.inject):
            return found.contents
        mapped = self._boxes.get(place)
        if mapped is None and self._source(place).boxes:
            self.counts["not_in_blur_map"] += copies
        try:
            contents, was_blurred = treated(found.contents, mapped, self._faces)
        except NotBlurredError as error:
            self.counts[str(error)] += copies
            return None
        self.counts["blurred"] += copies * was_blurred
        return contents

    def _mapped_boxes(self) -> dict[int, Any]:
        """Place in the shard → what the map's parquet says of its uid; places that it says nothing of are left out."""
        found: dict[int, Any] = {}
        tables = FaceTables()
        for number in np.unique(self._chosen.sources).tolist():
            path = self._part.sources[number].boxes
            if path:
                places = np.flatnonzero(self._chosen.sources == number).tolist()
                boxes = tables.boxes_of(path, [self._uids[place] for place in places])
                found.update((place, each) for place, each in zip(places, boxes, strict=True) if each is not None)
        return found


def _uid_rows(copies: Chosen) -> np.ndarray:
    rows = np.empty(len(copies.picks), SUBSET_DTYPE)
    rows["f0"], rows["f1"] = copies.picks["hi"], copies.picks["lo"]
    return rows
