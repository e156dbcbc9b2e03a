"""The record of a run: runs in the order in which they were started, summaries and recipes that survive."""

import json

import pytest

from vmae_zoo import run_record


def summary(root, name, **keys):
    folder = root / "runs" / "mae" / name
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(keys))
    return folder


def test_runs_are_ordered_by_number_not_by_the_local_time_in_their_names(tmp_path):
    first = summary(tmp_path, "20260301-120000", number=1)
    clock_set_back = summary(tmp_path, "20260301-100000", number=2)
    in_utc = summary(tmp_path, "20260301-110500", number=3)
    assert run_record.in_order([in_utc, clock_set_back, first]) == [first, clock_set_back, in_utc]
    assert run_record.next_number(tmp_path / "runs") == 4


def test_runs_without_a_number_stand_where_their_names_put_them(tmp_path):
    old = summary(tmp_path, "20250101-000000", state="finished")
    first = summary(tmp_path, "20260101-000000", number=1)
    torn = summary(tmp_path, "20260102-000000")
    (torn / "summary.json").write_text('{"number": 2, "sta')
    third = summary(tmp_path, "20260103-000000", number=3)
    assert run_record.in_order([third, torn, first, old]) == [old, first, torn, third]
    (torn / "recipe.yaml").write_text("# run 4\nlr: 1\n")
    assert run_record.in_order([third, torn, first, old]) == [old, first, third, torn], "the recipe has it too"


@pytest.mark.parametrize("content", [b"", b'{"state": "run', b"\0" * 40, b"[1]", b"\xff\xfe"])
def test_a_damaged_summary_reads_as_an_empty_one(tmp_path, content):
    (tmp_path / "summary.json").write_bytes(content)
    assert run_record.read_summary(tmp_path) == {}


def test_a_recipe_with_other_settings_is_kept(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    (tmp_path / "summary.json").write_text('{"number": 7}')
    run_record.write_recipe(tmp_path, "# one\nlr: 1\n", 0)
    run_record.write_recipe(tmp_path, "# two\nlr: 1\n", 5)
    assert not list(tmp_path.glob("recipe.until*")), "the header alone differs"
    run_record.write_recipe(tmp_path, "lr: 2\n", 5)
    run_record.write_recipe(tmp_path, "lr: 3\n", 5)
    assert recipe.read_text() == "# run 7\nlr: 3\n"
    assert (tmp_path / "recipe.until-step-5.yaml").read_text() == "# run 7\n# two\nlr: 1\n"
    assert (tmp_path / "recipe.until-step-5.1.yaml").read_text() == "# run 7\nlr: 2\n"
