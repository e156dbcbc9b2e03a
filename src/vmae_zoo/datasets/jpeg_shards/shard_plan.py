"""Which videos are in which shard of a cache: the same on every machine that writes a part of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmae_zoo.datasets.index import find_index, folder_of, key_of, without_damaged
from vmae_zoo.datasets.layouts import LAYOUTS, Catalog, ClipRecord, open_catalog
from vmae_zoo.video.storage import names, read

MAX_VIDEOS = 64  # in a shard: about 0.5 GB of Kinetics


@dataclass(frozen=True)
class ShardPlan:
    """How the videos of a data set, its catalogs with the default split first, are divided into shards."""

    catalogs: list[Catalog]
    videos: list[tuple[str, Path]]  # id and file of every video, ascending
    per_shard: int  # videos
    short_side: int  # pixels of the frames; smaller videos keep their size
    quality: int  # of the JPEGs, 1 to 100

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-len(self.videos) // self.per_shard)

    @property
    def digest(self) -> str:
        """Hash of the video ids and settings."""
        text = json.dumps([[name for name, _ in self.videos], self.per_shard, self.short_side, self.quality])
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()

    def videos_of(self, shard: int) -> list[tuple[str, Path]]:
        """Videos of a shard."""
        return self.videos[shard * self.per_shard : (shard + 1) * self.per_shard]

    def clips(self) -> dict[str, list[dict[str, Any]]]:
        """The clips of each video in the default split, by video id, for the JSON header in the shard."""
        catalog, name_of = self.catalogs[0], {path: name for name, path in self.videos}
        clips: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in self.videos}
        for record in catalog.records:
            names = {"class": catalog.classes[record.label]} if catalog.classes and record.label >= 0 else {}
            clips[name_of[record.path]].append({**record_fields(record), **names})
        return clips


def record_fields(record: ClipRecord) -> dict[str, Any]:
    """The fields of a record that are set, except its path."""
    fields = {"id": record.id, "label": record.label, "split": record.split, "start": record.start, "end": record.end}
    return {name: value for name, value in {**fields, "group": record.group}.items() if value not in (None, "")}


def shard_name(shard: int) -> str:
    """``shard-000003``."""
    return f"shard-{shard:06d}"


def plan_shards(
    root: Path, layout: str | None, short_side: int, quality: int, per_shard: int | None = None
) -> ShardPlan:
    """Read the catalogs of a source, without videos that its index lists as damaged."""
    first = open_catalog(root, layout)
    catalogs = [first]
    for split in LAYOUTS[first.layout].splits:
        if split != first.split:
            try:
                catalogs.append(open_catalog(root, first.layout, split))
            except ValueError:
                continue  # this split has no files
    index = find_index(first.root)
    if index is not None:
        catalogs = [without_damaged(catalog, index) for catalog in catalogs]
    folder = folder_of(first.root)
    paths = {record.path for catalog in catalogs for record in catalog.records}
    videos = sorted((key_of(folder, path), path) for path in paths)
    if not videos:
        raise ValueError(f"{root} has no undamaged video: there is nothing to cache")
    per_shard = per_shard or min(-(-len(videos) // MAX_VIDEOS), MAX_VIDEOS)
    return ShardPlan(catalogs, videos, per_shard, short_side, quality)


def shards_done(plan: ShardPlan, target: Path) -> set[int]:
    """Shards that exist in the target; ``ValueError`` if they belong to another plan."""
    found = names(target)
    done = {shard for shard in range(plan.shards) if f"{shard_name(shard)}.json" in found}
    if done and read_shard_meta(target, min(done))["plan"] != plan.digest:
        raise ValueError(
            f"{target} was begun with other videos or settings: use the same again, or give an empty folder"
        )
    return done


def read_shard_meta(target: Path, shard: int) -> dict[str, Any]:
    """The JSON file of a shard: digest of the "plan", positions of its "videos", and reasons why others "failed"."""
    file = target / f"{shard_name(shard)}.json"
    try:
        meta = json.loads(read(file))
        return {name: meta[name] for name in ("plan", "videos", "failed")}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{file} is damaged: remove it and run `vmae-zoo cache` again") from None
