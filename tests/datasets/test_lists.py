"""A list is read as it is written, or refused with its file and line; its validation clips are never training clips."""

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmae_zoo.data import open_catalog
from vmae_zoo.datasets.index import find_index
from vmae_zoo.datasets.layouts import EXTENSIONS
from vmae_zoo.datasets.make_index import make_index
from vmae_zoo.video.decode import VideoError, probe

FILES = ("v/1.mp4", "v/2.mp4", "w/3.mp4", "w/4.mp4")


@pytest.fixture
def root(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def table(catalog):
    names = [*catalog.classes, None]
    return {(row.id, names[row.label], row.split) for row in catalog.records}


TRAIN, VAL = (FILES[0], FILES[2]), (FILES[1], FILES[3])
EXPECTED = {(FILES[0], "a", "train"), (FILES[1], "a", "val"), (FILES[2], "b", "train"), (FILES[3], "b", "val")}
NUMBERED = {(path, "01"["ab".index(name)], split) for path, name, split in EXPECTED}


@pytest.mark.parametrize(
    ("head", "form", "numbered"),
    [
        ("path label\n", "{path} {number}", True),
        ("# a comment\n\n", "{path} {number}", True),
        ("", "{path},{number}.0", True),
        ("", "{path};{number}", True),
        ("path,label\n", "{path},{number}", True),
        ("", "{path} {name}", False),
        ("", '"{path}"\t{name}\r', False),
    ],
)
def test_lists_with_headers_comments_names_and_other_separators(root, head, form, numbered):
    for split, paths in (("train", TRAIN), ("val", VAL)):
        lines = (form.format(path=path, number=k, name="ab"[k]) for k, path in enumerate(paths))
        (root / f"{split}.csv").write_text(head + "\n".join(lines) + "\n")
    catalog = open_catalog(root)
    assert "layout list" in catalog.describe()
    assert table(catalog) == (NUMBERED if numbered else EXPECTED)


def test_a_long_list_reads_the_same_whatever_form_some_of_its_lines_have(root):
    """Lines ``path label`` are read many at a time, and no line is lost between them."""
    names = [f"{'long_name_' * 12}{number:04d}.mp4" for number in range(2500)]  # 330 kB of lines
    (root / "x").mkdir()
    for name in names:
        (root / "x" / name).touch()
    plain = [f"x/{name} {number % 7}" for number, name in enumerate(names)]
    expected = {(f"x/{name}", str(number % 7), "train") for number, name in enumerate(names)}
    (root / "train.csv").write_text("\n".join(plain))
    assert table(open_catalog(root)) == expected
    mixed = list(plain)
    mixed[3], mixed[2100] = f'"x/{names[3]}",3', f"{root}/x//{names[2100]}\t0"
    mixed[2200:2200] = ["", "# a comment"]
    (root / "train.csv").write_text("\r\n".join(mixed) + "\r\n")
    assert table(open_catalog(root)) == expected
    mixed[2400] = "no video"
    (root / "train.csv").write_text("\n".join(mixed))
    with pytest.raises(ValueError, match="line 2401"):
        open_catalog(root)


def test_a_list_without_labels_and_labels_far_apart(root):
    (root / "train.txt").write_text("\n".join(TRAIN))
    assert table(open_catalog(root)) == {(path, None, "train") for path in TRAIN}
    (root / "train.txt").write_text(f"{TRAIN[0]} 7\n{TRAIN[1]} 90000\n")
    assert open_catalog(root).classes == ["7", "90000"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_files_in_three_encodings_with_three_separators(root, encoding, separator):
    lines = [("path", "label", "split"), *sorted(EXPECTED)]
    text = "\r\n".join(separator.join(line) for line in lines)
    (root / "split.csv").write_bytes(text.encode(encoding))
    assert table(open_catalog(root)) == EXPECTED


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("split.csv", b"path,label\nv/1.mp4,caf\xe9\n", "split.csv, line 2: byte 0xe9 is not UTF-8"),
        ("split.csv", b"path,label\nv/1.mp4,a,b\n", "split.csv, line 2: 3 values"),
        ("split.csv", b"path,label,end\nv/1.mp4,a,inf\n", "split.csv, line 2: end = 'inf'"),
        ("split.csv", b"path,label,end\n\nv/1.mp4,a,nan\n", "split.csv, line 3: end = 'nan'"),
        ("split.csv", b"path,label,start\nv/1.mp4,a,-1\n", "split.csv, line 2: start = '-1'"),
        ("split.csv", b"path,label,start,end\nv/1.mp4,a,5,5\n", "split.csv, line 2: end = 5"),
        ("train.txt", b"v/1.mp4 0\nv/2.mp4 0 120 3\n", "train.txt, line 2: 3 numbers"),
        ("train.txt", b"v/1.mp4 0\nv/2.mp4 0.5\n", "train.txt, line 2: the label '0.5'"),
        ("val.csv", b"v/1.mp4 0\nv/2.mp4 1\n", "has no train list"),
        ("my clips.csv", b"v/1.mp4 0\nv/2.mp4 1\n", "my clips.csv lists videos"),
        ("annotations/train.txt", b"v/1.mp4 0\nv/2.mp4 1\n", "annotations/train.txt lists videos"),
        ("split.csv", b"path|label|split\nv/1.mp4|a|train\nv/2.mp4|a|val\n", "split.csv lists videos"),
        ("train.json", b'[{"path": "v/1.mp4", "label": "a"}]', "train.json is named as a list, but .json is not read"),
        ("train.txt", b"v/1.mp4|0\nv/2.mp4|1\n", "train.txt, line 1: expected a path and a label"),
        ("train.txt", "v/1.mp4 0\nv/2.mp4 1\n".encode("utf-16-le"), "train.txt, line 1: holds zero bytes"),
        ("train.txt", b"v/1.mp4 120 3\n", "train.txt, line 1: 2 numbers"),
        ("train.csv", b"v/1.mp4,run\nw/3.mp4,run,walk\n", "train.csv, line 2: 2 values after the path"),
        ("train.txt", b"v/1.mp4 0 train\nv/2.mp4 1 val\n", "train.txt, line 1: 2 values after the path"),
        ("train.txt", b"path label split\nv/1.mp4 a train\n", "train.txt, line 1: the header has 3 columns"),
        ("split.csv", b"path,label,subset\nv/1.mp4,a,train\nv/2.mp4,a,val\n", "the column subset is not read"),
        ("split.csv", b"path,label,is_train\nv/1.mp4,a,1\nv/2.mp4,a,0\n", "the column is_train is not read"),
        ("split.csv", b"path,label,start_time,end_time\nv/1.mp4,a,0,1\n", "the column start_time is not read"),
        ("split.csv", b"path,label,label\nv/1.mp4,a,b\n", "the column label is there twice"),
        ("split.csv", b'path,label\nv/1.mp4,a\nv/2.mp4,"a\nb"\n', "split.csv, line 3: .*close each quote"),
        (
            "train.csv",
            b"label,youtube_id,time_start,time_end,split\na,1,0,9,train\nb,2,,,train\n",
            "train.csv, line 3: time_start = ''",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(root, name, content, message):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        open_catalog(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("val.txt", "", "val.txt is named as a list, but names no videos"),
        ("train.csv", "v/2.mp4 0\nw/4.mp4 1\n", "train.csv and .*train.txt both list the train split"),
    ],
)
def test_a_second_list_is_never_ignored(root, name, content, message):
    (root / "train.txt").write_text("v/1.mp4 0\nw/3.mp4 1\n")
    (root / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        open_catalog(root)


@pytest.mark.parametrize("header", ["video,class,split", ",filename,label,split", "\ufeff\ufeffPath;Label;Split"])
def test_columns_by_other_names(root, header):
    rows = [f"{k},{','.join(row)}" if header[0] == "," else ",".join(row) for k, row in enumerate(sorted(EXPECTED))]
    text = "\n".join([header, *rows])
    (root / "clips.csv").write_text(text.replace(",", ";") if ";" in header else text)
    catalog = open_catalog(root)
    assert "layout csv" in catalog.describe()
    assert table(catalog) == EXPECTED


def test_byte_order_marks_and_spaces_make_no_classes(tmp_path):
    for name in ("A/v_A_g01_c01.avi", "B/v_B_g01_c01.avi", "A/v_A_g02_c01.avi"):
        (tmp_path / "u" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "u" / name).write_bytes(b"")
    (tmp_path / "u/trainlist01.txt").write_bytes(b"\xef\xbb\xbfA/v_A_g01_c01.avi 1\r\nB/v_B_g01_c01.avi 2\r\n")
    (tmp_path / "u/testlist01.txt").write_bytes(b"A/v_A_g02_c01.avi\r\n")
    assert open_catalog(tmp_path / "u").classes == ["A", "B"]
    (tmp_path / "k").mkdir()
    for number in range(3):
        (tmp_path / f"k/id{number}.mp4").write_bytes(b"")
    lines = ["label,youtube_id,time_start,time_end,split", "a,id0,0,9,train", '"a ",id1,0,9,train', "b,id2,0,9,train"]
    (tmp_path / "k/train.csv").write_text("\n".join(lines))
    assert open_catalog(tmp_path / "k").classes == ["a", "b"]


def test_something_something_entries_without_a_template(tmp_path):
    (tmp_path / "1.mp4").write_bytes(b"")
    (tmp_path / "labels.json").write_text(json.dumps({"Holding something": "0"}))
    (tmp_path / "train.json").write_text(json.dumps([{"id": "1", "label": "Holding something"}]))
    assert table(open_catalog(tmp_path)) == {("1.mp4", "Holding something", "train")}
    (tmp_path / "train.json").write_text(json.dumps([{"id": "1"}]))
    with pytest.raises(ValueError, match=r"train.json, entry 1"):
        open_catalog(tmp_path)


def test_a_clip_in_two_splits_is_reported(root):
    (root / "split.csv").write_text("path,label,split\nv/1.mp4,a,train\nv/1.mp4,a,val\nw/3.mp4,b,train\n")
    assert "1 clips of the training split are in another split too" in open_catalog(root).describe()


def test_odd_entries_are_skipped_by_catalog_and_index(tmp_path, encode, capfd):
    for name in ("a/1.mp4", "b/2.mp4", "a/latin\udce9.mp4"):
        encode(tmp_path / "plain.mp4", frames=3)
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes((tmp_path / "plain.mp4").read_bytes())
    os.mkfifo(tmp_path / "set/a/pipe.mp4")
    (tmp_path / "set/a/self.mp4").symlink_to("self.mp4")
    assert len(open_catalog(tmp_path / "set").records) == 3
    reported = capfd.readouterr().err
    assert "pipe.mp4 is skipped" in reported
    assert "self.mp4 is skipped" in reported
    (tmp_path / "list.txt").write_text("set/a/pipe.mp4 0\nset/a/1.mp4 1\n")  # a list names the pipe itself
    listed = make_index(tmp_path / "list.txt", workers=1, progress=False)[0].verdicts()
    assert listed["set/a/pipe.mp4"][:2] == ("damaged", "is not a regular file")
    with pytest.raises(VideoError, match="not a regular file"):
        probe(tmp_path / "set/a/pipe.mp4")
    make_index(tmp_path / "set", workers=1, progress=False)
    index = find_index(tmp_path / "set")
    assert [verdict for verdict, *_ in index.verdicts().values()] == ["good"] * 3
    path = tmp_path / "set/a/latin\udce9.mp4"
    status = path.stat()
    assert index.lookup(str(path), status.st_size, status.st_mtime_ns)


def test_listed_videos_that_do_not_exist_are_counted_and_fatal_if_all_are(root):
    for name, lines in (
        ("split.csv", ["path,label", "v/1.mp4,a", "v/9.mp4,b"]),
        ("train.txt", ["v/1.mp4 0", "x/9.mp4 1"]),
    ):
        (root / name).write_text("\n".join(lines))
        catalog = open_catalog(root / name)
        assert [record.id for record in catalog.records] == ["v/1.mp4"]
        assert catalog.missing == (lines[-1].split(",")[0].split(" ")[0],)
        assert "1 of 2 listed videos are missing" in catalog.describe()
        (root / name).write_text("\n".join([*lines[:-2], lines[-1]]))
        with pytest.raises(ValueError, match="none of the 1 listed videos"):
            open_catalog(root / name)


def test_sockets_devices_and_folders_without_permission_are_skipped(encode, capfd):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        for name in ("a/1.mp4", "b/2.mp4"):
            encode(folder / name, frames=3)
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(folder / "a/socket.mp4"))
        (folder / "a/null.mp4").symlink_to("/dev/null")
        (folder / "a/gone.mp4").symlink_to("nowhere.mp4")
        (folder / "lost+found").mkdir()
        (folder / "lost+found").chmod(0)
        administrator = os.geteuid() == 0
        if administrator:  # may enter any folder
            os.seteuid(65534)
        try:
            found = [record.id for record in open_catalog(folder).records]
        finally:
            if administrator:
                os.seteuid(0)
        assert found == ["a/1.mp4", "b/2.mp4"]
        reported = capfd.readouterr().err
        assert all(f"{name} is skipped: " in reported for name in ("socket.mp4", "null.mp4", "gone.mp4", "lost+found"))


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\"',;#\t/"), min_size=1)
FILE_NAMES = NAMES.map(lambda name: f"{name[:40]}.mp4")
SPLIT_NAMES = st.sampled_from(["train", "val"])
# "a.mp4,b.avi" without quotes is one file, by its name
CLASS_NAMES = NAMES.filter(lambda name: not name.lower().endswith(EXTENSIONS))
ROWS = st.lists(st.tuples(FILE_NAMES, CLASS_NAMES, SPLIT_NAMES), min_size=1, max_size=8)
FORMS = {
    "separator": st.sampled_from(",;\t"),
    "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    "end": st.sampled_from(["\n", "\r\n"]),
    "quoted": st.booleans(),
    "comment": st.booleans(),
}


def write_rows(folder, name, rows, form, header):
    """A list file with these rows, and an empty file for each video."""
    for path, *_ in rows:
        (folder / path).write_bytes(b"")
    lines = [*header, *rows]
    text = form["end"].join(form["separator"].join(f'"{v}"' if form["quoted"] else v for v in line) for line in lines)
    text = f"# made by hand{form['end']}" * form["comment"] + text
    (folder / name).write_bytes(text.encode(form["encoding"]))
    return folder / name


@given(rows=ROWS, form=st.fixed_dictionaries(FORMS))
def test_the_catalog_of_a_random_table_equals_the_table(tmp_path_factory, rows, form):
    file = write_rows(tmp_path_factory.mktemp("lists"), "clips.csv", rows, form, [("path", "label", "split")])
    catalog = open_catalog(file)
    names = [*catalog.classes, "-1"]
    assert [(row.path.name, row.split) for row in catalog.records] == [(path, split) for path, _, split in rows]
    for row, (_, label, _) in zip(catalog.records, rows, strict=True):
        assert names[row.label] == label or float(names[row.label]) == float(label)


@given(rows=ROWS, form=st.fixed_dictionaries(FORMS), header=st.booleans(), numbered=st.booleans())
def test_the_catalog_of_a_random_list_equals_the_list(tmp_path_factory, rows, form, header, numbered):
    numbers = {label: str(number) for number, label in enumerate(sorted({label for _, label, _ in rows}))}
    rows = [(path, numbers[label] if numbered else f"class {label}", split) for path, label, split in rows]
    folder = tmp_path_factory.mktemp("lists")
    for split in {"train"} | {split for *_, split in rows}:
        lines = [row[:2] for row in rows if row[2] == split] or [rows[0][:2]]
        write_rows(folder, f"{split}.txt", lines, form, [("path", "label")] * header)
    wanted = [row for row in rows if row[2] == "train"] or [(*rows[0][:2], "train")]
    wanted += [row for row in rows if row[2] == "val"]
    catalog = open_catalog(folder)
    assert catalog.layout == "list"
    found = [
        (row.path.name, catalog.classes[row.label] if row.label >= 0 else None, row.split) for row in catalog.records
    ]
    placeholder = {label for _, label, _ in wanted} == {"0"}  # V2's "path 0 -1" has no labels
    assert found == [(path, None if placeholder else label, split) for path, label, split in wanted]


@given(rows=ROWS, form=st.fixed_dictionaries(FORMS), data=st.data())
def test_a_random_line_that_cannot_be_read_is_named(tmp_path_factory, rows, form, data):
    form["encoding"] = "utf-8"
    wrong = data.draw(st.sampled_from(["split", "columns", "byte"]))
    number = data.draw(st.integers(0, len(rows) - 1))
    path, label, split = rows[number]
    changed = {
        "split": (path, label, "tran"),
        "columns": (path, label, split, "more"),
        "byte": (path, f"{label}~", split),
    }
    file = tmp_path_factory.mktemp("lists") / "clips.csv"
    write_rows(
        file.parent,
        file.name,
        [*rows[:number], changed[wrong], *rows[number + 1 :]],
        form,
        [("path", "label", "split")],
    )
    if wrong == "byte":
        text = file.read_bytes()
        file.write_bytes(text.replace(f"{label}~".encode(), b"caf\xe9", 1))
    line = number + 2 + form["comment"]
    with pytest.raises(ValueError, match=rf"clips.csv, line {line}: "):
        open_catalog(file)
