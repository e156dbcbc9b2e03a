"""MGMAE's flow by RAFT: all pairs of a clip in one pass or in a call each, with autocast, channels last."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_day.session import Session
from vmae_zoo.flow.raft import RaftFlow
from vmae_zoo.masking import MotionGuidedScorer, TokenGrid


def bench_raft(session: Session) -> None:
    """Time RAFT with random weights on smooth random clips."""
    frames, side = (4, 128) if session.smoke else (16, 224)
    scorer = MotionGuidedScorer(TokenGrid.of_clip(frames, side, side))
    for batch in (1,) if session.smoke else (8, 64):
        smooth = F.interpolate(torch.rand(batch * frames, 3, 14, 14), (side, side), mode="bicubic").clamp(0, 1)
        video = (
            (255 * smooth).to(torch.uint8).unflatten(0, (batch, frames)).transpose(1, 2).contiguous().to(session.device)
        )
        key = torch.arange(batch, device=session.device)
        pairs, raft = scorer.pairs(key), RaftFlow("random", iterations=1 if session.smoke else 6)
        for bf16 in (False, True):
            autocast = torch.autocast(session.device, torch.bfloat16, enabled=bf16 and not session.smoke)
            with session.guard("raft", batch=batch, bf16=bf16), autocast:
                time_raft(session, raft, scorer, video, pairs, key, bf16)
        if not session.smoke:
            autocast = torch.autocast(session.device, torch.bfloat16)
            with session.guard("raft", batch=batch, channels_last=True), autocast:
                raft.net = raft.net.to(session.device, memory_format=torch.channels_last)
                ms = session.median_ms(lambda raft=raft, video=video, pairs=pairs: raft(video, pairs), 5, 1)  # type: ignore[misc]
                session.record("raft", batch=batch, bf16=True, channels_last=True, one_pass_ms=ms)


@torch.no_grad()
def call_per_pair(raft: RaftFlow, video: Tensor, pairs: Tensor) -> Tensor:
    """The flow of each pair by its own call of the network."""
    images = video / 127.5 - 1
    flows = [
        raft.net(images[:, :, a], images[:, :, b], num_flow_updates=raft.iterations)[-1] for a, b in pairs[0].tolist()
    ]
    return torch.stack(flows, 1).permute(0, 1, 3, 4, 2)


def time_raft(
    session: Session, raft: RaftFlow, scorer: MotionGuidedScorer, video: Tensor, pairs: Tensor, key: Tensor, bf16: bool
) -> None:
    """Record times of both ways, their difference, and the time of the scores."""
    flow, few = raft(video, pairs), len(video) <= 8
    one_pass = session.median_ms(lambda: raft(video, pairs), 5, 1)
    per_pair = session.median_ms(lambda: call_per_pair(raft, video, pairs), 3, 1) if few else None
    difference = (flow - call_per_pair(raft, video, pairs)).abs().max().item() if few and not bf16 else None
    scores = session.median_ms(lambda: scorer.scores(key, flow), 3, 1)
    peak = session.peak_memory()
    session.record(
        "raft",
        batch=len(video),
        bf16=bf16,
        one_pass_ms=one_pass,
        call_per_pair_ms=per_pair,
        speed_up=per_pair and per_pair / one_pass,
        scores_ms=scores,
        ms_per_clip=(one_pass + scores) / len(video),
        largest_difference_pixels=difference,
        peak_mb=peak and peak / 1e6,
    )
