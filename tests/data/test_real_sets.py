"""Real clips under their data sets' official naming train and validate from a recipe of recipes/data."""

from pathlib import Path

import pytest

from vmae_zoo.cli.main import main

CARTWHEEL = "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
WAVES = (
    "RATRACE_wave_f_nm_np1_fr_goo_37.avi",
    "SchoolRulesHowTheyHelpUs_wave_f_nm_np1_ba_med_0.avi",
    "TrumanShow_wave_f_nm_np1_fr_med_26.avi",
)
SMALL = [
    *("--data.size", "32", "--data.frames", "4", "--data.batch_size", "1", "--data.global_batch", "1"),
    *("--data.workers", "0", "--model.depth", "1", "--model.mask_ratio", "0.5"),
]


def place(folder: Path, source: Path, name: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (name or source.name)).symlink_to(source)


def hmdb51(root: Path, clips: Path) -> str:
    place(root / "cartwheel", clips / CARTWHEEL)
    for wave in WAVES:
        place(root / "wave", clips / wave)
    (root / "splits").mkdir()
    (root / "splits/cartwheel_test_split1.txt").write_text(f"{CARTWHEEL} 1 \n")
    (root / "splits/wave_test_split1.txt").write_text(f"{WAVES[0]} 1 \n{WAVES[1]} 2 \n{WAVES[2]} 0 \n")
    return "layout hmdb51 (split 1), 2 classes (cartwheel, wave), clips: 2 train, 1 val"


def ucf101(root: Path, clips: Path) -> str:
    for group in (23, 24):
        place(root / "SoccerJuggling", clips / f"v_SoccerJuggling_g{group}_c01.avi")
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("SoccerJuggling/v_SoccerJuggling_g24_c01.avi 1\n")
    (lists / "testlist01.txt").write_text("SoccerJuggling/v_SoccerJuggling_g23_c01.avi\n")
    return "layout ucf101 (split 1), 1 classes (SoccerJuggling), clips: 1 train, 1 val"


def kinetics400(root: Path, clips: Path) -> str:
    place(root / "abseiling", clips / "R6llTwEh07w.mp4", "R6llTwEh07w_000012_000022.mp4")
    place(root / "air drumming", clips / "SOX5yA1l24A.mp4")
    place(root / "abseiling", clips / "WUzgd7C1pWA.mp4", "WUzgd7C1pWA_000076_000086.mp4")
    head = "label,youtube_id,time_start,time_end,split\n"
    lines = (
        "abseiling,R6llTwEh07w,12,22,train",
        "air drumming,SOX5yA1l24A,6,16,train",
        "abseiling,lostlost123,1,11,train",
    )
    (root / "train.csv").write_text(head + "\n".join(lines) + "\n")
    (root / "validate.csv").write_text(f"{head}abseiling,WUzgd7C1pWA,76,86,validate\n")
    missing = "1 of 4 listed videos are missing, for example lostlost123_000001_000011"
    return f"layout kinetics, 2 classes (abseiling, air drumming), clips: 2 train, 1 val; {missing}"


def fit(data: str, root: Path, steps: int, *more: str) -> int:
    recipe = ["-c", "recipes/videomae.yaml", "--data", f"recipes/data/{data}.yaml", "--data.root", str(root)]
    limits = ["--trainer.max_steps", str(steps), "--trainer.limit_val_batches", "2"]
    checks = ["--trainer.val_check_interval", str(steps), "--trainer.check_val_every_n_epoch", "null"]
    return main(["fit", *recipe, *SMALL, *limits, *checks, "--trainer.enable_progress_bar", "false", *more])


@pytest.mark.slow
@pytest.mark.parametrize("make", [hmdb51, ucf101, kinetics400], ids=lambda make: make.__name__)
def test_a_set_under_its_official_naming_trains_and_validates(make, clips, tmp_path, monkeypatch, caplog):
    line = make(tmp_path / "set", clips / "torchvision")
    monkeypatch.chdir(tmp_path)
    assert fit(make.__name__, tmp_path / "set", 1, "--json", "out.json") == 0
    assert line in caplog.text
    assert "loss/val" in (tmp_path / "out.json").read_text()
    (run,) = (tmp_path / "runs/videomae").iterdir()
    missing = run / "missing_videos.txt"
    assert missing.exists() == (make is kinetics400)
    if missing.exists():
        assert missing.read_text() == "lostlost123_000001_000011\n"


@pytest.mark.slow
def test_the_fight_set_trains_from_the_generic_table(clips, tmp_path, monkeypatch, caplog):
    root = clips.parent / "fight_surv_s144"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    monkeypatch.chdir(tmp_path)
    assert fit("csv", root, 2, "--json", "out.json") == 0
    assert "layout csv, 2 classes (0, 1), clips: 242 train, 58 val" in caplog.text
    assert "loss/val" in (tmp_path / "out.json").read_text()
