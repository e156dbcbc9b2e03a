"""ARVideo predicts each cluster from the preceding ones, and from nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmae_zoo.masking import ClusterOrder, TokenSplit
from vmae_zoo.methods import ARVideo, VideoMAE
from vmae_zoo.models.cross_decoder import CrossAttention

TINY = {
    "frames": 4,
    "image_size": 64,
    "cluster": (1, 2, 2),
    "drop": 0.5,
    "width": 24,
    "depth": 2,
    "num_heads": 2,
    "decoder_width": 16,
    "decoder_depth": 2,
    "decoder_num_heads": 2,
}


def tiny(**changes) -> ARVideo:
    torch.manual_seed(0)
    method = ARVideo(**{**TINY, **changes})
    for parameter in method.parameters():  # nothing at zero, so that every path carries
        torch.nn.init.normal_(parameter, std=0.2)
    return method


def clip_of(method: ARVideo, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, *method.grid.pixels)


def with_changed_cluster(method: ARVideo, video: torch.Tensor, cluster: int) -> torch.Tensor:
    """The clip with all pixels of a cluster changed."""
    video = video.clone()
    grid = method.grid
    for token in method.cluster_tokens[cluster].tolist():
        t, h, w = token // grid.per_slice, token % grid.per_slice // grid.width, token % grid.width
        video[:, :, 2 * t : 2 * t + 2, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16] += 1.0
    return video


@pytest.mark.slow
def test_default_counts_are_the_published_ones():
    with torch.device("meta"):
        method = ARVideo()
    assert method.cluster_tokens.shape == (16, 98)
    assert method.encoder_mask.shape == (300, 300)
    assert method.decoder_mask.shape == (1470, 300)
    drawn = method.sample_mask({"key": torch.arange(2)})
    assert drawn.kept.shape == (2, 16, 20)
    assert not torch.equal(drawn.order[0], drawn.order[1])
    with torch.device("meta"):
        out = method.to("meta")(torch.empty(2, 3, 16, 224, 224), drawn.to("meta"))
    assert out.prediction.shape == (2, 1470, 1536)


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(-(2**62), 2**62), st.integers(0, 7), st.sampled_from([(1, 2, 2), (2, 2, 1), (2, 1, 2)]))
def test_a_cluster_changes_only_later_predictions(key, step, shape):
    method = tiny(cluster=shape)
    size = method.cluster_tokens.shape[1]
    order = method.sample_mask({"key": torch.tensor([key])})
    video = clip_of(method)
    changed = with_changed_cluster(method, video, order.order[0, step].item())
    with torch.no_grad():
        difference = (method(video, order).prediction - method(changed, order).prediction).abs().amax(-1)[0]
    assert difference[: step * size].eq(0).all()  # the clusters of steps 1..step
    assert (difference[step * size :] > 1e-4).all()  # those of steps step + 1..7


def test_dropped_tokens_have_no_effect():
    method = tiny()
    order = method.sample_mask({"key": torch.tensor([1])})
    video = clip_of(method)
    changed = video.clone()
    grid = method.grid
    for token in set(range(grid.tokens)) - set(order.kept.flatten().tolist()):
        t, h, w = token // grid.per_slice, token % grid.per_slice // grid.width, token % grid.width
        changed[:, :, 2 * t : 2 * t + 2, 16 * h : 16 * h + 16, 16 * w : 16 * w + 16] = 0
    assert torch.equal(method(video, order).prediction, method(changed, order).prediction)


def test_position_of_a_cluster_reaches_its_prediction_only_through_its_queries():
    method = tiny()
    order = method.sample_mask({"key": torch.tensor([1])})
    video = clip_of(method)
    last_two_swapped = order.order[:, [0, 1, 2, 3, 4, 5, 7, 6]]
    other = ClusterOrder(last_two_swapped, order.kept)
    size = method.cluster_tokens.shape[1]
    one, two = method(video, order).prediction, method(video, other).prediction
    assert torch.equal(one[:, : 5 * size], two[:, : 5 * size])
    same = method.decoder(
        method.encoder_to_decoder(method.encoder(video, order.kept[:, :-1].flatten(1), method.encoder_mask)),
        method.cluster_tokens[last_two_swapped[:, 1:]].flatten(1),
        method.decoder_mask,
    )
    torch.testing.assert_close(two, same)
    assert not torch.allclose(one[:, 5 * size :], two[:, 5 * size :])


def test_targets_are_the_cubes_of_all_clusters_but_the_first():
    method = tiny()
    order = method.sample_mask({"key": torch.tensor([1, 2])})
    video = clip_of(method, 2)
    out = method(video, order)
    everything = torch.arange(method.grid.tokens).expand(2, -1)
    videomae = VideoMAE(**{k: v for k, v in TINY.items() if k not in ("cluster", "drop")}, mask_ratio=0.5)
    target = videomae(video, TokenSplit(everything[:, :4], everything)).target
    for clip in range(2):
        ids = torch.cat([method.cluster_tokens[cluster] for cluster in order.order[clip, 1:]])
        torch.testing.assert_close(out.target[clip], target[clip, ids])
    torch.testing.assert_close(out.loss, (out.prediction - out.target).square().mean())


def test_clips_of_a_batch_do_not_mix():
    method = tiny()
    order = method.sample_mask({"key": torch.tensor([1, 2, 3])})
    video = clip_of(method, 3)
    together = method(video, order).prediction
    alone = method(video[1:2], ClusterOrder(order.order[1:2], order.kept[1:2])).prediction
    torch.testing.assert_close(together[1:2], alone)


def test_identity_order_over_whole_slices_predicts_frame_after_frame():
    method = tiny(frames=8, cluster=(1, 4, 4), order="spatial_first")
    order = method.sample_mask({"key": torch.tensor([1])})
    assert order.order.tolist() == [[0, 1, 2, 3]]
    video = clip_of(method)
    later = video.clone()
    later[:, :, 4:] = 0  # slices 2 and 3
    one, two = method(video, order).prediction, method(later, order).prediction
    assert torch.equal(one[:, :32], two[:, :32])  # slices 1 and 2 are predicted from slices 0 and 1
    assert not torch.equal(one[:, 32:], two[:, 32:])


def test_encoder_without_mask_is_a_plain_vision_transformer():
    method = tiny()
    plain = VideoMAE(**{k: v for k, v in TINY.items() if k not in ("cluster", "drop")}, mask_ratio=0.5)
    plain.encoder.load_state_dict(method.encoder.state_dict())
    video = clip_of(method)
    assert torch.equal(method.encoder(video), plain.encoder(video))


def test_other_counts_of_kept_tokens_are_allowed():
    method, other = tiny(), tiny(drop=0.0)
    other.load_state_dict(method.state_dict())
    order = other.sample_mask({"key": torch.tensor([5])})
    video = clip_of(method)
    assert torch.equal(method(video, order).prediction, other(video, order).prediction)


def test_cross_attention_equals_a_loop_over_queries():
    torch.manual_seed(0)
    attention = CrossAttention(8, 2)
    query, memory = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1]]).bool()
    q, (k, v) = attention.q(query)[0], attention.kv(memory)[0].chunk(2, -1)
    rows = []
    for i in range(3):
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            weights = (k[mask[i], h] @ q[i, h] / 2).softmax(0)
            heads.append(weights @ v[mask[i], h])
        rows.append(torch.cat(heads))
    expected = attention.proj(torch.stack(rows))[None]
    torch.testing.assert_close(attention(query, memory, mask), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cluster": (2, 4, 4)}, "cluster = "),
        ({"cluster": (1, 3, 3)}, "cluster = "),
        ({"order": "zigzag"}, "order = 'zigzag'"),
        ({"drop": 1.0}, "drop = 1.0"),
        ({"decoder_num_heads": 3}, "16 .*3"),
    ],
)
def test_invalid_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ARVideo(**{**TINY, **arguments})


def test_an_order_of_another_partition_is_refused():
    method, other = tiny(), tiny(cluster=(1, 4, 4))
    with pytest.raises(ValueError, match="2 clusters"):
        method(clip_of(method), other.sample_mask({"key": torch.tensor([1])}))
