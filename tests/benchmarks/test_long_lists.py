"""The list of many clips is a data set, and its checkpoint is moved inside the epoch."""

import torch

from benchmarks import long_lists
from vmae_zoo.datasets.layouts import open_catalog


def test_every_line_of_the_list_is_a_clip_of_its_class(tmp_path):
    catalog = open_catalog(long_lists.write_list(tmp_path, 500))
    assert (len(catalog.records), len(catalog.classes), catalog.missing) == (500, 400, ())
    assert [record.label for record in catalog.records[398:402]] == [398, 399, 0, 1]


def test_a_checkpoint_is_moved_to_a_share_of_the_epoch(tmp_path):
    file = tmp_path / "last.ckpt"
    torch.save({"ClipDataModule": {"epoch": 0, "seen": 2, "rows": 50}, "state_dict": {}}, file)
    assert torch.load(long_lists.move_to(file, 0.6))["ClipDataModule"] == {"epoch": 0, "seen": 30, "rows": 50}
