import json

import pytest

from vmae_zoo.data import open_catalog
from vmae_zoo.datasets.synthetic.embedded import embedded_root
from vmae_zoo.datasets.synthetic.scene import CLASSES


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(root, name, *lines):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n")


def table(catalog):
    return sorted((row.id, row.label, row.split) for row in catalog.records)


HMDB = ("cart wheel/a.avi", "cart wheel/b.avi", "cart wheel/c.avi", "wave/d #1.avi", "wave/e.avi")


@pytest.mark.parametrize("folder", ["splits", "testTrainMulti_7030_splits", "../testTrainMulti_7030_splits", "."])
def test_hmdb51_with_its_split_files_in_or_beside_the_root(tmp_path, folder):
    root = tmp_path / "hmdb51"
    touch(root, *HMDB)
    write(root, f"{folder}/cart wheel_test_split1.txt", "a.avi 1 ", "b.avi 2 ", "c.avi 0 ")
    write(root, f"{folder}/wave_test_split1.txt", "d #1.avi 1 ", "e.avi 2 ")
    write(root, f"{folder}/cart wheel_test_split2.txt", "a.avi 2 ", "b.avi 1 ", "c.avi 0 ")
    write(root, f"{folder}/wave_test_split2.txt", "d #1.avi 2 ", "e.avi 1 ")
    catalog = open_catalog(root)
    assert (catalog.layout, catalog.classes) == ("hmdb51", ["cart wheel", "wave"])
    expected = [("cart wheel/a.avi", 0, "train"), ("cart wheel/b.avi", 0, "val")]
    assert table(catalog) == [*expected, ("wave/d #1.avi", 1, "train"), ("wave/e.avi", 1, "val")]
    second = {row.id: row.split for row in open_catalog(root, split=2).records}
    assert second["cart wheel/a.avi"] == "val"
    with pytest.raises(ValueError, match="split3"):
        open_catalog(root, split=3)


def test_hmdb51_finds_reencoded_files_and_counts_missing_ones(tmp_path):
    touch(tmp_path, "wave/a.mp4")
    write(tmp_path, "splits/wave_test_split1.txt", "a.avi 1", "b.avi 2")
    catalog = open_catalog(tmp_path)
    assert table(catalog) == [("wave/a.mp4", 0, "train")]
    assert "1 of 2 listed videos are missing, for example wave/b.avi" in catalog.describe()


def test_ucf101_lists(tmp_path):
    touch(
        tmp_path, "UCF-101/Bowl/v_Bowl_g01_c01.avi", "UCF-101/Bowl/v_Bowl_g02_c01.avi", "UCF-101/Abs/v_Abs_g01_c01.avi"
    )
    write(tmp_path, "ucfTrainTestlist/trainlist01.txt", "Bowl/v_Bowl_g01_c01.avi 2", "Abs/v_Abs_g01_c01.avi 1")
    write(tmp_path, "ucfTrainTestlist/testlist01.txt", "Bowl/v_Bowl_g02_c01.avi")
    catalog = open_catalog(tmp_path)
    assert (catalog.layout, catalog.classes) == ("ucf101", ["Abs", "Bowl"])
    assert [entry[1:] for entry in table(catalog)] == [(0, "train"), (1, "train"), (1, "val")]


def test_kinetics_csvs(tmp_path):
    touch(tmp_path, "train/-a_b_000010_000020.mp4", "val/some class/xyz.mkv")
    head = "label,youtube_id,time_start,time_end,split"
    write(tmp_path, "annotations/train.csv", head, "yoga,-a_b,10,20,train", "abseiling,lost,1,11,train")
    write(tmp_path, "annotations/validate.csv", head, "abseiling,xyz,3,13,validate")
    catalog = open_catalog(tmp_path)
    assert (catalog.layout, catalog.classes) == ("kinetics", ["abseiling", "yoga"])
    assert table(catalog) == [("train/-a_b_000010_000020.mp4", 1, "train"), ("val/some class/xyz.mkv", 0, "val")]
    assert "1 of 3" in catalog.describe()


def test_something_something_v2_json(tmp_path):
    touch(tmp_path, "20bn-something-something-v2/12.webm", "20bn-something-something-v2/7.webm")
    name = "labels/something-something-v2-{}.json".format
    write(tmp_path, name("labels"), json.dumps({"Holding something": "1", "Dropping something": "0"}))
    write(tmp_path, name("train"), json.dumps([{"id": "12", "template": "Holding [something]"}]))
    write(tmp_path, name("validation"), json.dumps([{"id": "7", "template": "Dropping [something]"}]))
    catalog = open_catalog(tmp_path)
    assert (catalog.layout, catalog.classes) == ("ssv2", ["Dropping something", "Holding something"])
    assert [entry[1:] for entry in table(catalog)] == [(1, "train"), (0, "val")]


def test_csv_with_a_header(tmp_path):
    touch(tmp_path, "v/a b.mp4", "v/c.mp4")
    write(
        tmp_path, "list.csv", "Path,label,group,split,start,end", "v/a b.mp4,run,3,train,1.5,4", "v/c.mp4,jump,,valid,,"
    )
    for root in (tmp_path, tmp_path / "list.csv"):
        catalog = open_catalog(root)
        assert (catalog.layout, catalog.classes) == ("csv", ["jump", "run"])
        assert table(catalog) == [("v/a b.mp4#1.5-4", 1, "train"), ("v/c.mp4", 0, "val")]
    assert (catalog.records[0].start, catalog.records[0].end) == (1.5, 4.0)


def test_csv_with_numbered_labels_keeps_their_order(tmp_path):
    touch(tmp_path, "10.mp4", "2.mp4", "0.mp4")
    write(tmp_path, "list.csv", "path,label", *(f"{label}.mp4,{label}" for label in (10, 2, 0)))
    assert [(row.id, row.label) for row in open_catalog(tmp_path).records] == [
        ("10.mp4", 2),
        ("2.mp4", 1),
        ("0.mp4", 0),
    ]


def test_csv_with_groups_and_numbered_splits(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path, "list.csv", "path,label,group,split,split1,split2", "a.mp4,x,g,val,train,val", "b.mp4,y,,val,val,")
    assert [(row.group, row.split) for row in open_catalog(tmp_path).records] == [("g", "val"), ("", "val")]
    assert [row.split for row in open_catalog(tmp_path, split=1).records] == ["train", "val"]
    assert [row.split for row in open_catalog(tmp_path, split=2).records] == ["val", "train"]
    with pytest.raises(ValueError, match=r"split = 3, but .*list.csv has no column split3"):
        open_catalog(tmp_path, split=3)


@pytest.mark.parametrize(
    ("line", "path", "label"),
    [
        ("v/a.mp4 3", "v/a.mp4", 3),
        ("v/a.mp4  3", "v/a.mp4", 3),
        ("v/a.mp4\t3", "v/a.mp4", 3),
        ("v/my clip 2.mp4 3", "v/my clip 2.mp4", 3),
        ('"v/my clip.mp4" 3', "v/my clip.mp4", 3),
        ("v/a.mp4,3", "v/a.mp4", 3),
        ("v/a.mp4 3 -1", "v/a.mp4", 3),
    ],
)
def test_videomae_lists(tmp_path, line, path, label):
    touch(tmp_path, path, "v/other.mp4", "v/third.mp4")
    write(tmp_path, "train.csv", line, "v/other.mp4 0")
    write(tmp_path, "val.csv", "v/third.mp4 1")
    catalog = open_catalog(tmp_path)
    assert catalog.layout == "list"
    assert table(catalog) == sorted([(path, label, "train"), ("v/other.mp4", 0, "train"), ("v/third.mp4", 1, "val")])


def test_videomae_v2_lists_have_no_labels_and_may_be_absolute(tmp_path):
    touch(tmp_path, "here/x.mp4", "elsewhere/y.mp4")
    write(tmp_path / "here", "k400.csv", f"{tmp_path}/here/x.mp4 0 -1", f"{tmp_path}/elsewhere/y.mp4 0 -1")
    catalog = open_catalog(tmp_path / "here" / "k400.csv")
    assert table(catalog) == [(f"{tmp_path}/elsewhere/y.mp4", -1, "train"), ("x.mp4", -1, "train")]
    assert catalog.classes == []


def test_lists_of_frame_folders_are_refused_in_a_sentence(tmp_path):
    write(tmp_path, "train.csv", "videos/0001 1 300")
    with pytest.raises(ValueError, match=r"line 1: 'videos/0001' is not a video file"):
        open_catalog(tmp_path)


def test_folder_of_classes_ignores_what_is_no_video(tmp_path):
    touch(tmp_path, "run/a.mp4", "run/deep/er/b.AVI", "jump/c.webm", "jump/notes.txt", "empty/x.jpg", ".hidden/d.mp4")
    touch(tmp_path, "README.md", "jump/.e.mp4")
    catalog = open_catalog(tmp_path)
    assert (catalog.layout, catalog.classes) == ("folder", ["jump", "run"])
    assert table(catalog) == [("jump/c.webm", 0, "train"), ("run/a.mp4", 1, "train"), ("run/deep/er/b.AVI", 1, "train")]
    assert "without a validation set" in catalog.describe()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_folders_of_splits(tmp_path, name):
    touch(tmp_path, "train/run/a.mp4", "train/jump/b.mp4", f"{name}/run/c.mp4")
    catalog = open_catalog(tmp_path)
    kind = "test" if name == "test" else "val"
    assert ("train/run/a.mp4", 1, "train") in table(catalog)
    assert (f"{name}/run/c.mp4", 1, kind) in table(catalog)
    assert "without a validation set" not in catalog.describe()


@pytest.mark.parametrize("names", [("a.mp4", "b.mp4"), ("x/a.mp4", "x/y/b.mp4"), ("a.mp4", "x/b.mp4", "y/c.mp4")])
def test_flat_folders_have_no_labels(tmp_path, names):
    touch(tmp_path, *names)
    catalog = open_catalog(tmp_path)
    assert (catalog.layout, catalog.classes) == ("flat", [])
    assert [row.id for row in catalog.records] == sorted(names)
    assert {row.label for row in catalog.records} == {-1}


def test_flat_splits(tmp_path):
    touch(tmp_path, "train/a.mp4", "val/b.mp4")
    assert table(open_catalog(tmp_path)) == [("train/a.mp4", -1, "train"), ("val/b.mp4", -1, "val")]


def test_the_layout_can_be_named(tmp_path):
    touch(tmp_path, "run/a.mp4", "jump/b.mp4")
    assert open_catalog(tmp_path, layout="flat").classes == []


def test_a_single_video_is_a_set_of_one(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    catalog = open_catalog(tmp_path / "a.mp4")
    assert (catalog.layout, table(catalog)) == ("flat", [("a.mp4", -1, "train")])


def test_a_layout_that_does_not_fit_names_the_one_that_does(tmp_path):
    touch(tmp_path, "a.mp4")
    write(tmp_path, "list.csv", "path,label", "a.mp4,x")
    with pytest.raises(ValueError, match=r"not the layout folder .*it has the layout csv"):
        open_catalog(tmp_path / "list.csv", layout="folder")


def test_links_are_followed_once(tmp_path):
    touch(tmp_path / "set", "run/a.mp4", "jump/b.mp4")
    (tmp_path / "set/run/loop").symlink_to(tmp_path / "set")
    touch(tmp_path / "far", "c.mp4")
    (tmp_path / "set/walk").symlink_to(tmp_path / "far")
    assert {row.id for row in open_catalog(tmp_path / "set").records} >= {"run/a.mp4", "jump/b.mp4", "walk/c.mp4"}


@pytest.mark.parametrize(
    ("names", "arguments", "sentence"),
    [
        (None, {}, r"root = .*/set"),
        ((), {}, r"/set .*no videos \(.mp4, .*empty"),
        (("a.txt", "b/c.jpg"), {}, r"/set .*no videos .* 2 other entries.* a.txt, b/"),
        (("a.mp4",), {"layout": "hmdb51"}, r"layout hmdb51 \(.*_test_split1.txt.* 1 other entry"),
        (("a.mp4",), {"layout": "imagenet"}, r"layout = 'imagenet'.*hmdb51, ucf101"),
        (("a.mp4",), {"split": 2}, r"split = 2.*layout flat of .*/set"),
    ],
)
def test_a_wrong_root_is_refused_in_one_sentence(tmp_path, names, arguments, sentence):
    if names is not None:
        (tmp_path / "set").mkdir()
        touch(tmp_path / "set", *names)
    with pytest.raises(ValueError, match=sentence) as caught:
        open_catalog(tmp_path / "set", **arguments)
    assert "\n" not in str(caught.value)


def test_lists_whose_videos_do_not_exist_are_refused(tmp_path):
    write(tmp_path, "trainlist01.txt", "Bowl/v_Bowl_g01_c01.avi 2")
    write(tmp_path, "testlist01.txt", "")
    with pytest.raises(ValueError, match="none of the 1 listed videos is below"):
        open_catalog(tmp_path)


def test_real_clips_of_mixed_origin_are_a_folder_of_classes(clips):
    catalog = open_catalog(clips)
    assert (catalog.layout, catalog.classes, len(catalog.records)) == ("folder", ["edge", "signs", "torchvision"], 35)


def test_the_embedded_clips_are_hmdb51_with_three_splits():
    tested = []
    for split in (1, 2, 3):
        catalog = open_catalog(embedded_root("scenes"), split=split)
        assert (catalog.layout, catalog.classes) == ("hmdb51", list(CLASSES))
        assert (len(catalog.of("train")), len(catalog.of("val"))) == (240, 120)
        tested += [row.id for row in catalog.of("val")]
    assert len(set(tested)) == 360


def test_csv_label_column(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    write(tmp_path, "list.csv", "path,label,Speed,split", "a.mp4,x,10,train", "b.mp4,y,9,val", "c.mp4,x,,val")
    catalog = open_catalog(tmp_path, label_column="speed")
    assert catalog.classes == ["9", "10"]
    assert [row.label for row in catalog.records] == [1, 0, -1]
    assert open_catalog(tmp_path).classes == ["x", "y"]
    with pytest.raises(ValueError, match=r"label_column = 'motion', but .*list.csv has no such column: .*speed"):
        open_catalog(tmp_path, label_column="motion")
    folder = tmp_path / "folders"
    touch(folder, "a/x.mp4", "b/y.mp4")
    with pytest.raises(ValueError, match=r"label_column = 'speed', but .* layout folder"):
        open_catalog(folder, label_column="speed")
