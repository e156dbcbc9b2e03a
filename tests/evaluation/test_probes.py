"""Probes agree with independent ones, and cannot cheat."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score
from sklearn.preprocessing import StandardScaler

from vmae_zoo.datasets.layouts import Catalog, ClipRecord, ClipTable
from vmae_zoo.datasets.splits import folds, hold_out, low_shot, source_of, with_val_share
from vmae_zoo.evaluation import attentive_probe, linear_probe
from vmae_zoo.evaluation.features import Features
from vmae_zoo.evaluation.knn import nearest_neighbors
from vmae_zoo.evaluation.linear_probe import LBFGSSweep
from vmae_zoo.evaluation.probe import Sweep, evaluate, select
from vmae_zoo.training.metrics import ClassificationMetrics, confusion, wilson

CLASSES = 4


def features(videos, views=1, seed=0, shift=1.0, split="train"):
    """Gaussian classes in 12 dimensions of unequal scale."""
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES, videos)
    centers = np.random.default_rng(7).normal(size=(CLASSES, 12)) * shift
    values = random.normal(size=(videos, views, 12)) + centers[label][:, None]
    return wrap(values * np.linspace(0.1, 30, 12), label, split)


def token_features(videos, tokens=16, seed=0, split="train"):
    """Every token names a class; the one that names the video's own carries a mark."""
    random = np.random.default_rng(seed)
    label, named = random.integers(0, CLASSES, videos), random.integers(0, CLASSES, (videos, tokens))
    place = random.integers(0, tokens, videos)
    named[np.arange(videos), place] = label
    values = np.concatenate([np.eye(CLASSES)[named], np.zeros((videos, tokens, 4))], axis=2)
    values[np.arange(videos), place, CLASSES] = 2
    return wrap(values[:, None], label, split)


def wrap(values, label, split="train"):
    rows = [ClipRecord(f"{split}{i}.mp4", Path(f"{split}{i}.mp4"), int(label[i]), split) for i in range(len(label))]
    return Features(rows, list(values.astype(np.float32)), [], 0)


@pytest.mark.slow
def test_the_linear_probe_agrees_with_scikit_learn():
    train, test = features(600, seed=1, shift=0.5), features(400, seed=2, shift=0.5, split="test")
    probed = evaluate(select(linear_probe.fit, train, CLASSES, LBFGSSweep()), test)
    scaler = StandardScaler().fit(train.tensor()[:, 0])
    reference = LogisticRegressionCV(
        Cs=10, max_iter=1000, use_legacy_attributes=False, scoring="accuracy", l1_ratios=(0,)
    )
    reference.fit(scaler.transform(train.tensor()[:, 0]), train.labels())
    theirs = 100 * reference.score(scaler.transform(test.tensor()[:, 0]), test.labels())
    assert probed.metrics.top1_low < theirs < probed.metrics.top1_high
    assert probed.metrics.top1 == pytest.approx(theirs, abs=2)
    assert 50 < theirs < 95


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
def test_heads_are_the_minima_that_scikit_learn_finds(wide):
    train = features(300, seed=3)
    if wide:  # more values than samples, many of them mixtures of others
        mixing = np.random.default_rng(0).normal(size=(12, 400)).astype(np.float32)
        train = Features(train.records[:150], [value @ mixing for value in train.values[:150]], [], 0)
    sweep = LBFGSSweep((1.0, 0.01, 1e-4, 1e-6))
    heads = linear_probe.fit(train, CLASSES, sweep.heads, sweep, torch.device("cpu"))(train)
    x = StandardScaler().fit_transform(train.tensor()[:, 0]).astype(np.float64)
    for head, decay in zip(heads, sweep.weight_decays, strict=True):
        reference = LogisticRegression(C=1 / (decay * len(x)), tol=1e-8, max_iter=20000).fit(x, train.labels())
        torch.testing.assert_close(head.double(), torch.tensor(reference.predict_proba(x)), atol=2e-3, rtol=0)


def test_heads_of_small_decays_reach_the_minimum_too():
    """Of many classes that a linear map tells: the loss is small there, and steps that look small are not."""
    random = np.random.default_rng(0)
    label = np.arange(900) % 60
    values = random.normal(size=(60, 48))[label] + 0.7 * random.normal(size=(900, 48))
    train = wrap(values[:, None] * (np.arange(1, 49) ** -0.5), label)
    sweep = LBFGSSweep()
    heads = linear_probe.fit(train, 60, sweep.heads, sweep, torch.device("cpu"))
    x = StandardScaler().fit_transform(train.tensor()[:, 0]).astype(np.float64)
    for head in (8, 14):
        decay = sweep.weight_decays[head]
        reference = LogisticRegression(C=1 / (decay * len(x)), tol=1e-10, max_iter=20000).fit(x, label)
        found = (heads.weight[head].double().numpy(), heads.bias[head, 0].double().numpy())
        losses = [
            log_loss(label, softmax(x @ weight + bias, 1)) + decay / 2 * (weight**2).sum()
            for weight, bias in (found, (reference.coef_.T, reference.intercept_))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_heads_side_by_side_are_the_heads_alone():
    train = features(100, views=2)
    sweep = LBFGSSweep((1.0, 0.1, 1e-3))
    together = linear_probe.fit(train, CLASSES, sweep.heads, sweep, torch.device("cpu"))(train)
    for head, settings in enumerate(sweep.heads):
        alone = linear_probe.fit(train, CLASSES, [settings], sweep, torch.device("cpu"))(train)
        torch.testing.assert_close(together[head], alone[0], atol=1e-3, rtol=0)


def test_constant_features_know_the_share_of_each_class():
    train = wrap(np.ones((60, 1, 12)), np.arange(60) % 3)
    heads = linear_probe.fit(train, CLASSES, LBFGSSweep().heads, LBFGSSweep(), torch.device("cpu"))(train)
    expected = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]).expand_as(heads)
    torch.testing.assert_close(heads, expected, atol=2e-3, rtol=0)


def test_views_are_averaged_as_probabilities():
    train, test = features(100, views=3), features(20, views=3, seed=5)
    heads = linear_probe.fit(train, CLASSES, [{"weight_decay": 0.01}], LBFGSSweep(), torch.device("cpu"))
    single = [heads(Features(test.records, [v[view : view + 1] for v in test.values], [], 0)) for view in range(3)]
    torch.testing.assert_close(heads(test), torch.stack(single).mean(0))


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["linear", "attentive"])
def test_shuffled_labels_give_chance(probe):
    fit, make = (linear_probe.fit, features) if probe == "linear" else (attentive_probe.fit, token_features)
    train, test = make(240, seed=1), make(240, seed=2, split="test")
    sweep = Sweep((0.003,), (0.01,), epochs=1, min_steps=15, batch_size=64) if probe == "attentive" else LBFGSSweep()
    found = []
    for seed in range(8 if probe == "linear" else 2):
        labels = np.random.default_rng(seed).permutation(train.labels().numpy())
        shuffled = Features(wrap(np.zeros(240), labels).records, train.values, [], 0)
        found.append(evaluate(select(fit, shuffled, CLASSES, sweep), test).metrics.top1)
    assert np.mean(found) == pytest.approx(25, abs=8)


def test_the_test_set_changes_no_choice():
    train = features(300, seed=1, shift=0.5)
    choices = []
    for test in (features(50, seed=2, shift=0.5), features(50, seed=3, shift=9.0), features(5, seed=4)):
        probed = evaluate(select(linear_probe.fit, train, CLASSES, LBFGSSweep()), test)
        neighbors = nearest_neighbors(train, test, CLASSES)
        choices.append(
            (probed.selected.settings, probed.selected.held_out_top1, neighbors.selected, neighbors.leave_one_out)
        )
    assert choices[0] == choices[1] == choices[2]


@pytest.mark.slow
def test_the_attentive_probe_finds_the_token_that_a_mean_hides():
    train, test = token_features(240, seed=1), token_features(200, seed=2)
    sweep = Sweep((3e-2, 1e-2), (0.01,), epochs=1, min_steps=80, batch_size=64)
    attentive = evaluate(select(attentive_probe.fit, train, CLASSES, sweep), test)
    means = [Features(f.records, [value.mean(1) for value in f.values], [], 0) for f in (train, test)]
    mean = evaluate(select(linear_probe.fit, means[0], CLASSES, LBFGSSweep()), means[1])
    assert attentive.metrics.top1 > 80 > mean.metrics.top1_high


def test_pools_in_one_pass_are_torchs_attention():
    torch.manual_seed(0)
    pools = [attentive_probe.AttentivePool(24, 3, CLASSES) for _ in range(2)]
    for part in [part for pool in pools for part in pool.parameters()]:
        torch.nn.init.normal_(part, std=0.3)
    tokens = 2 + 3 * torch.randn(5, 7, 24)
    found = attentive_probe.logits_of(pools, attentive_probe.layer_norm_tokens(tokens))
    for pool, logits in zip(pools, found, strict=True):
        attention = torch.nn.MultiheadAttention(24, 3, batch_first=True)
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.cat([pool.q.weight, pool.k.weight, pool.v.weight]))
            attention.in_proj_bias.copy_(torch.cat([pool.q.bias, torch.randn(24), pool.v.bias]))
            attention.out_proj.load_state_dict(pool.proj.state_dict())
        query, normed = pool.query.expand(5, 1, 24), pool.norm1(tokens)
        x = query + attention(query, normed, normed)[0]
        expected = pool.head(x + pool.mlp(pool.norm2(x)))[:, 0]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 3])
def test_pools_side_by_side_are_the_pools_alone(monkeypatch, blocks):
    train = token_features(60, seed=1)
    sweep = Sweep((3e-2, 1e-3), (0.01, 0.5), epochs=1, min_steps=5, batch_size=16)
    fit = partial(attentive_probe.fit, blocks=blocks)
    together = fit(train, CLASSES, sweep.heads, sweep, torch.device("cpu"))(train)
    monkeypatch.setattr(attentive_probe, "MAX_BYTES_IN_MEMORY", 0)  # and held in memory or not is the same
    for head, settings in enumerate(sweep.heads):
        alone = fit(train, CLASSES, [settings], sweep, torch.device("cpu"))(train)
        torch.testing.assert_close(together[head], alone[0], atol=1e-4, rtol=0)
    assert (together[0] - together[2]).abs().max() > 1e-2


def test_segments_are_attended_together_and_crops_averaged():
    values = torch.arange(2 * 3 * 2 * 4 * 5, dtype=torch.float32).view(2, 6, 4, 5)  # 2 videos, 3 segments x 2 crops
    stacked = attentive_probe.stack_tokens(list(values.numpy()), torch.device("cpu"), segments=3)
    assert stacked.shape == (2, 2, 12, 5)
    for crop in range(2):
        assert torch.equal(stacked[:, crop], values[:, crop::2].flatten(1, 2))
    features = wrap(values.numpy() / 100, np.arange(2))
    torch.manual_seed(0)
    pool = attentive_probe.DeepPool(5, 2, CLASSES)
    heads = attentive_probe.AttentiveHeads([pool], torch.device("cpu"), segments=3)
    expected = torch.stack([pool(stacked[:, crop] / 100).softmax(1) for crop in range(2)]).mean(0)
    torch.testing.assert_close(heads(features)[0], expected)


def by_brute_force(train, test, k, temperature, skip=None):
    """One neighbor at a time."""
    bank = [value.mean(0) / np.linalg.norm(value.mean(0)) for value in map(np.float64, train.values)]
    predicted = []
    for query, value in enumerate(map(np.float64, test.values)):
        feature = value.mean(0) / np.linalg.norm(value.mean(0))
        similar = sorted(
            ((float(b @ feature), i) for i, b in enumerate(bank) if skip is None or i != query), reverse=True
        )
        votes = np.zeros(CLASSES)
        for similarity, i in similar[:k]:
            votes[train.records[i].label] += np.exp(similarity / temperature)
        predicted.append(votes / votes.sum())
    return np.array(predicted)


def test_k_nn_equals_brute_force():
    train, test = features(60, views=2, seed=1, shift=0.4), features(40, views=2, seed=2, shift=0.4)
    found = nearest_neighbors(train, test, CLASSES, neighbors=(1, 5, 20, 1000))
    assert set(found.metrics) == {1, 5, 20, 59}
    for k in found.metrics:
        votes = by_brute_force(train, test, k, 0.07)
        assert found.metrics[k].top1 == 100 * (votes.argmax(1) == test.labels().numpy()).mean()
        left_out = by_brute_force(train, train, k, 0.07, skip=True)
        assert found.leave_one_out[k] == pytest.approx(100 * (left_out.argmax(1) == train.labels().numpy()).mean())
    assert found.leave_one_out[found.selected] == max(found.leave_one_out.values())
    expected = by_brute_force(train, test, found.selected, 0.07)
    np.testing.assert_allclose(found.probabilities.numpy(), expected, atol=1e-4)


def test_scores_are_scikit_learns():
    random = np.random.default_rng(0)
    values, label = random.random((200, 9)), random.integers(0, 8, 200)
    scores = ClassificationMetrics.of(torch.tensor(values), torch.tensor(label))
    top = values.argmax(1)
    assert scores.top1 == pytest.approx(100 * accuracy_score(label, top))
    assert scores.top5 == pytest.approx(100 * top_k_accuracy_score(label, values, k=5, labels=range(9)))
    hits = [100 * (top[label == k] == k).mean() for k in np.unique(label)]
    assert scores.mean_class == pytest.approx(np.mean(hits))
    assert scores.mean_class == pytest.approx(100 * balanced_accuracy_score(label, np.where(top == 8, 0, top)), abs=3)
    expected = confusion_matrix(label, top, labels=range(9))
    assert np.array_equal(confusion(torch.tensor(values), torch.tensor(label)).numpy(), expected)


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (37, 100), (500, 1530)])
def test_the_interval_is_wilsons(right, total):
    inside = [
        p for p in np.linspace(0, 1, 100_001) if abs(right / total - p) <= 1.959964 * (p * (1 - p) / total) ** 0.5
    ]
    assert wilson(right, total) == pytest.approx((min(inside), max(inside)), abs=2e-5)


def test_what_is_held_back_has_every_class_and_depends_on_ids_alone():
    rows = [ClipRecord(f"{i}", Path("x"), i % 3) for i in range(30)]
    kept, held = hold_out(rows, 0.2)
    assert sorted(kept + held) == list(range(30))
    assert [sum(rows[place].label == label for place in held) for label in range(3)] == [2, 2, 2]
    shuffled = rows[::-1]
    assert {rows[i].id for i in held} == {shuffled[i].id for i in hold_out(shuffled, 0.2)[1]}
    assert hold_out(rows, 0.2, seed=1)[1] != held
    with pytest.raises(ValueError, match="single training video"):
        hold_out(rows[:3], 0.2)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("Bowling/v_Bowling_g08_c01.avi", "Bowling_g08"),
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09"),
        ("run/April_09_run_f_cm_np1_fr_med_12.mp4", "April_09"),
        ("abseiling/-3B32lodo2M_000059_000069.mp4", "-3B32lodo2M"),
        ("move_left/move_left_003.mp4", "move_left/move_left_003.mp4"),
    ],
)
def test_names_of_official_data_sets_tell_their_source(path, source):
    assert source_of(ClipRecord(path, Path("/data") / path)) == source
    assert source_of(ClipRecord(f"{path}#1-2", Path("/data") / path)) == source
    assert source_of(ClipRecord(path, Path("/data") / path, group="7")) == "7"


def test_clips_of_one_source_are_held_back_together():
    rows = [ClipRecord(f"{i}", Path("x"), i % 2, group=f"{i // 4}") for i in range(80)]
    kept, held = hold_out(rows, 0.2)
    assert [sum(rows[place].label == label for place in held) for label in range(2)] == [8, 8]
    assert not {rows[i].group for i in kept} & {rows[i].group for i in held}
    giants = [ClipRecord(f"{i}", Path("x"), i % 2, group=f"{i % 2}") for i in range(80)]
    with pytest.raises(ValueError, match="of one source"):
        hold_out(giants, 0.2)


def test_low_shot_subsets_are_nested_and_balanced():
    rows = [ClipRecord(f"{i}", Path("x"), i % 3) for i in range(300)]
    subsets = [set(low_shot(rows, fraction)) for fraction in (0.001, 0.01, 0.1, 0.5, 1)]
    assert [len(subset) for subset in subsets] == [3, 3, 30, 150, 300]
    assert all(small <= large for small, large in itertools.pairwise(subsets))
    with pytest.raises(ValueError, match="fraction = 0"):
        low_shot(rows, 0)


def grouped(clips=60):
    """Clips of three classes from 20 recordings, three clips each."""
    return [
        ClipRecord(f"{k}.mp4", f"{k}.mp4", k // 3 % 3 if k % 7 else k % 3, group=f"recording {k // 3}")
        for k in range(clips)
    ]


def test_a_share_of_the_clips_validates_and_recordings_stay_together():
    catalog = Catalog(Path("set"), "csv", ["a", "b", "c"], ClipTable.of(grouped()))
    shared = with_val_share(catalog, 0.2)
    groups = {split: {record.group for record in shared.of(split)} for split in ("train", "val")}
    assert not groups["train"] & groups["val"]
    assert 0.1 <= len(shared.of("val")) / 60 <= 0.25
    assert {record.label for record in shared.of("val")} == {0, 1, 2}
    assert "held out for validation (data.val_share 0.2)" in shared.describe()
    with pytest.raises(ValueError, match="has validation or test clips already"):
        with_val_share(shared, 0.2)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        with_val_share(catalog, 1.5)


def test_folds_test_every_labeled_clip_once():
    unlabeled = ClipRecord("x.mp4", "x.mp4")
    catalogs = folds(Catalog(Path("set"), "csv", ["a", "b", "c"], ClipTable.of([*grouped(), unlabeled])), 5)
    tested = [record.id for catalog in catalogs for record in catalog.of("val")]
    assert sorted(tested) == sorted(record.id for record in grouped())
    for number, catalog in enumerate(catalogs, 1):
        assert catalog.split == number
        assert len(catalog.records) == 60
        assert 9 <= len(catalog.of("val")) <= 15
        assert not {record.group for record in catalog.of("train")} & {record.group for record in catalog.of("val")}
        assert {record.label for record in catalog.of("val")} == {0, 1, 2}
    with pytest.raises(ValueError, match="choose from 2 to 20"):
        folds(Catalog(Path("set"), "csv", ["a"], ClipTable.of(grouped())), 21)
