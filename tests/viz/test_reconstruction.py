"""Reconstructions against brute force: what is shown, and the numbers beside it."""

import numpy as np
import pytest
import torch

from vmae_zoo.methods import MAE, MAEST, ARVideo, VideoMAE, VideoMAEv2
from vmae_zoo.methods.output import Output
from vmae_zoo.viz.picture import contact_sheet, save_panels
from vmae_zoo.viz.reconstruction import GRAY, panels, psnr, reconstruct

SMALL = {
    "size": "tiny",
    "image_size": 64,
    "width": 24,
    "depth": 1,
    "num_heads": 2,
    "decoder_width": 24,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
}
METHODS = {
    "videomae": lambda **more: VideoMAE(frames=4, mask_ratio=0.75, **SMALL, **more),
    "videomae_v2": lambda **more: VideoMAEv2(frames=4, mask_ratio=0.75, **SMALL, **more),
    "arvideo": lambda **more: ARVideo(frames=4, cluster=(1, 2, 2), drop=0.5, **SMALL, **more),
    "mae_st": lambda **more: MAEST(frames=4, mask_ratio=0.75, pred_t_dim=2, **SMALL, **more),
    "mae": lambda **more: MAE(**SMALL, **more),
}


def batch_for(method, clips=2):
    frames, size = method.grid.pixels[0], method.grid.pixels[1]
    video = torch.randint(0, 256, (clips, 3, frames, size, size), generator=torch.Generator().manual_seed(0))
    return {"video": video.byte(), "key": torch.arange(clips) + 5, "index": torch.arange(clips)}


def perfect(method):
    """The method with a prediction that is the target."""
    forward = method.forward

    def of_target(video, split):
        out = forward(video, split)
        return Output(out.loss, out.target, out.target, out.weight)

    method.forward = of_target
    return method


def cubes(video, grid):
    """Brute force: token id -> the pixels of each clip at that token, in (t, h, w) order."""
    p, q, r = grid.cube
    for token in range(grid.tokens):
        t, place = divmod(token, grid.per_slice)
        h, w = divmod(place, grid.width)
        yield token, video[:, :, t * p : (t + 1) * p, h * q : (h + 1) * q, w * r : (w + 1) * r]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_a_prediction_equal_to_the_target_is_the_clip(name, normalize):
    torch.manual_seed(0)
    method = perfect(METHODS[name](normalise_target=normalize))
    result = reconstruct(method, batch_for(method))
    assert result.mse.max() < 1e-9
    assert result.zero_mse.min() > 1e-3
    shown = result.ours != GRAY  # hidden and not predicted: half of V2's, the dropped ones of ARVideo's first cluster
    torch.testing.assert_close(result.ours[shown], result.clip[shown], atol=2e-5, rtol=0)
    if name in ("videomae", "mae_st", "mae"):
        torch.testing.assert_close(result.ours, result.clip, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["videomae", "mae_st", "mae"])
def test_each_cube_shows_what_it_should_and_numbers_are_those_of_the_picture(name):
    torch.manual_seed(0)
    method = METHODS[name]()
    batch = batch_for(method)
    result = reconstruct(method, batch)
    grid = getattr(method, "target_grid", method.grid)
    frames = [0, 3] if name == "mae_st" else range(method.grid.pixels[0])
    clip = batch["video"][:, :, list(frames)] / 255
    torch.testing.assert_close(result.clip, clip)
    hidden = method.sample_mask(batch).hidden(grid.tokens)
    errors = {"ours": [[], []], "zero": [[], []]}
    for token, truth in cubes(clip, grid):
        for row in range(2):
            shown = {what: dict(cubes(getattr(result, what), grid))[token][row] for what in ("visible", "ours", "zero")}
            if not hidden[row, token]:
                for video in shown.values():
                    torch.testing.assert_close(video, truth[row], atol=0, rtol=0)
                continue
            assert (shown["visible"] == GRAY).all()
            if name == "videomae":  # the mean of the cube in each channel
                expected = truth[row].mean(dim=(1, 2, 3), keepdim=True).expand_as(truth[row])
            else:  # one mean for all values of the normalised input
                mean, std = (
                    torch.tensor(getattr(method.encoder.preprocessing, s)).view(3, 1, 1, 1) for s in ("mean", "std")
                )
                expected = (((truth[row] - mean) / std).mean() * std + mean).expand_as(truth[row])
            torch.testing.assert_close(shown["zero"], expected.clamp(0, 1), atol=1e-5, rtol=0)
            for what, into in errors.items():
                into[row].append(((shown[what] - truth[row]) ** 2).mean())
    for what, numbers in (("ours", result.mse), ("zero", result.zero_mse)):
        torch.testing.assert_close(numbers, torch.tensor([torch.stack(e).mean() for e in errors[what]]))
    assert result.numbers()["psnr"] == pytest.approx(-10 * np.log10(float(result.mse.mean())))


def test_v2_counts_only_hidden_cubes_that_it_decodes():
    method = METHODS["videomae_v2"]()
    batch = batch_for(method)
    split, result = method.sample_mask(batch), reconstruct(method, batch)
    for row in range(2):
        counted = [int(i) for i, w in zip(split.predicted[row], split.weight[row], strict=True) if w]
        ours, clip = dict(cubes(result.ours, method.grid)), dict(cubes(result.clip, method.grid))
        errors = [((ours[token][row] - clip[token][row]) ** 2).mean() for token in counted]
        torch.testing.assert_close(result.mse[row], torch.stack(errors).mean())


@pytest.mark.slow
def test_training_makes_it_nearer_to_the_clip_than_a_prediction_of_zero():
    torch.manual_seed(0)
    method = VideoMAE(frames=4, mask_ratio=0.5, **SMALL | {"image_size": 32})
    stripes = (torch.arange(32)[None, :] + 4 * torch.arange(4)[:, None]).div(4, rounding_mode="floor") % 2 * 255
    video = stripes[None, None, :, None, :].expand(8, 3, 4, 32, 32).byte().contiguous()
    batch = {"video": video, "key": torch.arange(8), "index": torch.arange(8)}
    before = reconstruct(method, batch)
    optimizer = torch.optim.AdamW(method.parameters(), lr=5e-3)
    for _ in range(60):
        loss = method(*method.prepare_inputs(batch)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = reconstruct(method, batch)
    assert before.mse.mean() > before.zero_mse.mean()
    assert after.mse.mean() < 0.5 * after.zero_mse.mean()


def test_mode_and_random_state_stay_as_they_were():
    method = METHODS["videomae"]()
    method.train()
    method.decoder.eval()
    state = torch.get_rng_state()
    reconstruct(method, batch_for(method))
    assert torch.equal(torch.get_rng_state(), state)
    assert method.training
    assert method.encoder.training
    assert not method.decoder.training
    assert all(parameter.grad is None for parameter in method.parameters())


def test_a_method_without_pixels_is_refused():
    method = METHODS["videomae"]()
    method.targets = None
    with pytest.raises(ValueError, match="VideoMAE"):
        reconstruct(method, batch_for(method))


@pytest.mark.parametrize("name", ["videomae", "mae"])
def test_the_picture_has_a_row_for_each_and_the_numbers_in_words(tmp_path, name):
    method = METHODS[name]()
    result = reconstruct(method, batch_for(method))
    shown = panels(result, columns=3, names=["first", "second"])
    assert len(shown) == (1 if name == "mae" else 2)  # images lie beside one another
    assert float(result.null_mse.mean()) <= float(result.zero_mse.mean())
    best = f"best null: {result.null_name.replace('_', ' ')}"
    assert list(shown[0].rows) == ["clip", "visible", "reconstruction", "zero prediction", best]
    if name == "videomae":
        assert f"{float(result.mse[1]):.5f} ({psnr(float(result.mse[1])):.2f} dB)" in shown[1].note
    image = contact_sheet(shown, side=48)
    assert image.height > len(shown) * 4 * 48
    first = shown[0].rows["clip"]
    np.testing.assert_array_equal(first[0], (result.clip[0, :, 0] * 255).round().byte().permute(1, 2, 0))
    save_panels(shown, tmp_path / "moving.gif", side=48)
    assert (tmp_path / "moving.gif").read_bytes()[:3] == b"GIF"


def test_psnr_is_known_at_known_points():
    assert psnr(1.0) == pytest.approx(0)
    assert psnr(0.01) == pytest.approx(20)
