"""The linear probe of VideoMAE as far as it is published: new random views in every epoch, one head, nothing selected.

Tong, Song, Wang, Wang, NeurIPS 2022, arXiv 2203.12602, appendix: SGD with momentum 0.9, learning rate 0.1, no weight
decay, batch 1024, 100 epochs with 10 of warm-up, cosine schedule, multi-scale crops only [from the paper, not
confirmed: no code is released, and a user reached 33.9 % where 38.9 % is published]. Not published, and chosen here:
the rate is per 256 samples, and features are not normalized before the head. The encoder runs in every epoch, which
costs a hundred times as much as the default probe.

Shapes: R videos, D = width, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.evaluation.features import FeatureExtractor, Views
from vmae_zoo.evaluation.linear_probe import LinearHeads
from vmae_zoo.evaluation.probe import SelectedHead, Sweep, batches
from vmae_zoo.models.video_encoder import VideoEncoder
from vmae_zoo.training.schedules import Schedule

WARMUP_EPOCHS, BATCH_SIZE, BASE_LR = 10, 1024, 0.1  # the rate is per 256 samples of a step


def videomae_probe(
    encoder: VideoEncoder,
    records: Sequence[ClipRecord],
    classes: int,
    *,
    epochs: int = 100,
    pool: str = "mean",
    device: str | torch.device = "cpu",
    clips: int = 32,
    workers: int = 0,
    half: bool = False,
    seed: int = 0,
) -> SelectedHead:
    """Train the head on labelled videos, ``clips`` in a forward pass of the encoder; see `compute_features`."""
    extractor, head, step = FeatureExtractor(encoder, pool, device, half), None, 0
    for epoch in tqdm(range(epochs), unit="epoch", disable=None):
        value_RD, label_R = _epoch(extractor, records, epoch, clips, workers)
        if head is None:
            head = nn.Linear(value_RD.shape[1], classes).to(device)
            nn.init.normal_(head.weight, std=0.01, generator=torch.Generator(head.weight.device).manual_seed(seed))
            nn.init.zeros_(head.bias)
            optimizer = torch.optim.SGD(head.parameters(), lr=1.0, momentum=0.9)
        size = min(BATCH_SIZE, len(value_RD))
        per_epoch = max(len(value_RD) // size, 1)
        order = Sweep((), (), epochs=1, min_steps=0, batch_size=size, seed=seed + epoch)
        for _, ids in batches(len(value_RD), order, value_RD.device):
            schedule = Schedule(epochs * per_epoch, min(WARMUP_EPOCHS, epochs - 1) * per_epoch)
            optimizer.param_groups[0]["lr"] = BASE_LR * size / 256 * schedule.lr_factor(step)
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(head(value_RD[ids]), label_R[ids]).backward()
            optimizer.step()
            step += 1
    assert head is not None
    weight_1DK, bias_11K = (
        values.detach()[None].nan_to_num(0.0, 0.0, 0.0) for values in (head.weight.T, head.bias[None])
    )
    heads = LinearHeads(
        torch.zeros_like(weight_1DK[0, :, 0]), torch.ones_like(weight_1DK[0, :, 0]), weight_1DK, bias_11K
    )
    return SelectedHead(heads, {"base_lr": BASE_LR, "epochs": float(epochs)}, float("nan"), [])


def _epoch(
    extractor: FeatureExtractor, records: Sequence[ClipRecord], epoch: int, clips: int, workers: int
) -> tuple[Tensor, Tensor]:
    """Features (R, D) and labels of one random view of every readable video."""
    values, labels = [], []
    for batch in Views(augmented=1).loader(records, extractor.encoder.preprocessing.clip, clips, workers, epoch):
        if "video" in batch:
            values.append(extractor(batch["video"]).clone())
            labels.append(batch["label"].to(extractor.device))
    if not values:
        raise ValueError("none of the training videos can be read")
    return torch.cat(values), torch.cat(labels)
