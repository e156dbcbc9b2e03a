"""Clips as columns read as the records that they were made of."""

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmae_zoo.datasets import clip_table, text_column
from vmae_zoo.datasets.clip_record import ClipRecord
from vmae_zoo.datasets.clip_table import ClipTable, Origin
from vmae_zoo.datasets.text_column import is_in

RECORDS = [
    ClipRecord.below("/set", "/set/a/ü.mp4", 3),
    ClipRecord("a/b\udce9.mp4#1.5-", "/set/a/b\udce9.mp4", -1, "val", 1.5, None, "film"),
    ClipRecord("/elsewhere/c.mp4#-4", "/elsewhere/c.mp4", 0, "test", None, 4.0, "other film"),
    ClipRecord("id of its own", "/set/shard-000001.tar/512+70", 2, "val", 0.0, 2.0, "film"),
]


@pytest.fixture(params=[1, 2, 1 << 16], autouse=True)
def chunk(request, monkeypatch):
    for module in (clip_table, text_column):
        monkeypatch.setattr(module, "CHUNK", request.param)


@given(st.lists(st.text("ab/ü", max_size=5), min_size=1, max_size=6), st.text("ab/ü", max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_prefixes_are_those_of_the_texts(texts, start):
    builder = text_column.TextBuilder()
    builder.add(texts)
    column = builder.column()
    assert column.starts_with(start).tolist() == [text.startswith(start) for text in texts]
    encoded = [text.encode() for text in texts]
    prefixes = [encoded[0][:size] for size in range(len(encoded[0]) + 1)]
    longest = [prefix for prefix in prefixes if all(text.startswith(prefix) for text in encoded)][-1]
    assert column.common_prefix() == longest.decode(errors="surrogateescape")


@pytest.mark.parametrize("folder", ["", "/set"])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_rows_are_the_records_that_a_table_was_made_of(folder, count):
    table = ClipTable.of(iter(RECORDS[:count]), folder)
    assert list(table) == RECORDS[:count]
    assert list(pickle.loads(pickle.dumps(table))) == RECORDS[:count]
    assert list(table.all_ids()) == [record.id for record in RECORDS[:count]]
    assert list(table.all_files()) == [record.file for record in RECORDS[:count]]


def test_parts_of_a_table_are_tables():
    table = ClipTable.of(RECORDS, "/set")
    assert list(table[1:3]) == RECORDS[1:3]
    assert table[-1] == RECORDS[-1]
    assert list(table.take(np.array([2, 0]))) == [RECORDS[2], RECORDS[0]]
    assert list(table.where(table.of_split("val"))) == [RECORDS[1], RECORDS[3]]
    assert list(table.with_split("test", [0])) == [replace(RECORDS[0], split="test"), *RECORDS[1:]]
    with pytest.raises(IndexError):
        table[4]


def test_ids_that_are_file_names_are_stored_once():
    table = ClipTable.of([RECORDS[0]] * 3, "/set")
    assert table.files is table.ids
    assert table.take(np.array([1])).files is not table.files
    assert len(table.ids.data) == 3 * len("a/ü.mp4".encode())


def test_concatenated_tables_keep_prefixes_groups_and_folders():
    one, two = ClipTable.of(RECORDS[:2], "/set"), ClipTable.of(RECORDS[2:])
    both = ClipTable.concatenate([one, replace(two, origins=[Origin("", "two:", 2)])])
    expected = [replace(record, id=f"two:{record.id}", stride_frames=2) for record in RECORDS[2:]]
    assert list(both) == [*RECORDS[:2], *expected]
    assert list(both.all_ids()) == [record.id for record in both]
    assert list(both.all_files()) == [record.file for record in RECORDS]


def test_the_fingerprint_depends_on_ids_labels_segments_and_order_alone():
    table = ClipTable.of(RECORDS, "/set")
    same = ClipTable.concatenate([ClipTable.of(RECORDS[:1]), ClipTable.of(RECORDS[1:])])
    moved = ClipTable.of([replace(record, file=f"/moved{record.file}", group="") for record in RECORDS])
    assert table.fingerprint() == same.fingerprint() == moved.fingerprint()
    others = [
        [RECORDS[1], RECORDS[0], *RECORDS[2:]],
        RECORDS[:3],
        [replace(RECORDS[0], label=4), *RECORDS[1:]],
        [replace(RECORDS[0], start=0.0), *RECORDS[1:]],
        [replace(RECORDS[0], id="x"), *RECORDS[1:]],
    ]
    assert len({table.fingerprint(), *(ClipTable.of(records).fingerprint() for records in others)}) == 6


def test_membership_is_that_of_numpy():
    values, others = (np.random.default_rng(seed).integers(0, 50, 30) for seed in (1, 2))
    np.testing.assert_array_equal(is_in(values, others), np.isin(values, others))
    assert not is_in(values, others[:0]).any()


@pytest.mark.parametrize("segment", [(None, None), (1.5, None)])
def test_the_fingerprint_is_that_of_earlier_checkpoints(segment):
    records = [ClipRecord(f"a/{n}\udcff.mp4", f"/v/{n}.mp4", n - 1, "train", *segment) for n in range(3)]
    text = "".join(f"{record.id}\n{record.label} {record.start} {record.end}\n" for record in records)
    expected = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]
    assert ClipTable.of(records).fingerprint() == expected
