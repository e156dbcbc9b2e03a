"""Which videos lie in which shard of a cache: the same on every machine that makes a part of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.index import find_index, folder_of, key_of, without_damaged
from vmae_zoo.datasets.layouts import LAYOUTS, Catalog, ClipRecord, open_catalog
from vmae_zoo.video.storage import names, read

MOST = 64  # videos of a shard: about 0.5 GB of Kinetics


@dataclass(frozen=True)
class Plan:
    """How a cache is cut.

    Args:
        catalogs: of the source, one for each of its numbered splits; the usual one is first.
        videos: id and file of every video, ascending.
        per_shard: videos of a shard.
        short_side: of the frames, in pixels; smaller videos stay as they are.
        quality: of the JPEGs, 1 to 100.
    """

    catalogs: list[Catalog]
    videos: list[tuple[str, Path]]
    per_shard: int
    short_side: int
    quality: int

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-len(self.videos) // self.per_shard)

    @property
    def digest(self) -> str:
        """The same for the same videos and settings."""
        text = json.dumps([[name for name, _ in self.videos], self.per_shard, self.short_side, self.quality])
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()

    def of(self, shard: int) -> list[tuple[str, Path]]:
        """Videos of a shard."""
        return self.videos[shard * self.per_shard : (shard + 1) * self.per_shard]

    def clips(self) -> dict[str, list[dict[str, Any]]]:
        """What the usual split says of the clips of each video."""
        catalog, name_of = self.catalogs[0], {path: name for name, path in self.videos}
        told: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in self.videos}
        for record in catalog.records:
            names = {"class": catalog.classes[record.label]} if catalog.classes and record.label >= 0 else {}
            told[name_of[record.path]].append({**fields(record), **names})
        return told


def fields(record: ClipRecord) -> dict[str, Any]:
    """A record without its path."""
    told = {"id": record.id, "label": record.label, "split": record.split, "start": record.start, "end": record.end}
    return {name: value for name, value in {**told, "group": record.group}.items() if value not in (None, "")}


def shard_name(shard: int) -> str:
    """``shard-000003``."""
    return f"shard-{shard:06d}"


def plan(root: Path, layout: str | None, short_side: int, quality: int, per_shard: int | None = None) -> Plan:
    """Read the catalogs of a source, without what its index found damaged."""
    first = open_catalog(root, layout)
    catalogs = [first]
    for split in LAYOUTS[first.layout].splits:
        if split != first.split:
            try:
                catalogs.append(open_catalog(root, first.layout, split))
            except ValueError:
                continue  # the files of that split are not there
    index = find_index(first.root)
    if index is not None:
        catalogs = [without_damaged(catalog, index) for catalog in catalogs]
    folder = folder_of(first.root)
    paths = {record.path for catalog in catalogs for record in catalog.records}
    videos = sorted((key_of(folder, path), path) for path in paths)
    if not videos:
        raise ValueError(f"{root} has no video that is not damaged: there is nothing to cache")
    return Plan(catalogs, videos, per_shard or min(-(-len(videos) // MOST), MOST), short_side, quality)


def shards_done(plan: Plan, target: Path) -> set[int]:
    """The shards that are there.

    Raises:
        ValueError: they are of another plan.
    """
    found = names(target)
    done = {shard for shard in range(plan.shards) if f"{shard_name(shard)}.json" in found}
    if done and read_shard_meta(target, min(done))["plan"] != plan.digest:
        raise ValueError(f"{target} was begun with other videos or settings: use those again, or give an empty folder")
    return done


def read_shard_meta(target: Path, shard: int) -> dict[str, Any]:
    """What lies beside a shard: its "plan", the places of its "videos", and why others "failed"."""
    file = target / f"{shard_name(shard)}.json"
    try:
        told = json.loads(read(file))
        return {name: told[name] for name in ("plan", "videos", "failed")}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{file} is damaged: remove it and run `vmae-zoo cache` again") from None
