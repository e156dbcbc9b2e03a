"""All pairs in one pass equal one call of torchvision's network per pair."""

import pytest
import torch
from torchvision.models.optical_flow import raft_small

from vmae_zoo.flow.raft import RaftFlow, load_raft


@pytest.mark.slow
def test_all_pairs_in_one_pass_equal_a_call_each():
    video = torch.randint(0, 256, (2, 3, 3, 128, 136), generator=torch.Generator().manual_seed(0)).byte()
    pairs = torch.tensor([[[2, 1], [0, 1]], [[1, 0], [2, 0]]])  # clips may differ in their pairs
    raft = RaftFlow("random", iterations=3, clips_per_pass=1)
    flow = raft(video, pairs)
    assert flow.shape == (2, 2, 128, 136, 2)
    assert not raft.net.corr_block.corr_pyramid  # gigabytes that are no longer needed
    images = video / 127.5 - 1
    for clip in range(2):
        for pair, (here, there) in enumerate(pairs[clip]):
            with torch.no_grad():
                alone = raft.net(images[clip, :, here][None], images[clip, :, there][None], num_flow_updates=3)[-1]
            torch.testing.assert_close(flow[clip, pair], alone[0].permute(1, 2, 0), atol=1e-3, rtol=1e-3)


def test_weights_are_read_from_a_file_and_frozen(tmp_path):
    net = raft_small()
    torch.save(net.state_dict(), tmp_path / "raft.pth")
    loaded = load_raft(str(tmp_path / "raft.pth"))
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_random_weights_are_the_same_every_time_and_touch_no_seed():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = load_raft("random").state_dict(), load_raft("random").state_dict()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("content", [None, b"no weights", "other"])
def test_a_file_without_weights_is_refused(tmp_path, content):
    path = tmp_path / "raft.pth"
    if content == "other":
        torch.save({"weight": torch.zeros(1)}, path)
    elif content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"flow_weights = '.*' cannot be loaded .*: give C_T_V1 or C_T_V2"):
        load_raft(str(path))


@pytest.mark.parametrize("size", [(64, 64), (128, 132)])
def test_sizes_that_raft_does_not_take_are_refused(size):
    raft = RaftFlow("random")
    with pytest.raises(ValueError, match=f"not {size[0]} x {size[1]}.*flow = dis"):
        raft(torch.zeros(1, 3, 2, *size, dtype=torch.uint8), torch.tensor([[[1, 0]]]))
