"""The methods: one paper, one file."""

from vmae_zoo.methods.base import Method, Output
from vmae_zoo.methods.videomae import VideoMAE
from vmae_zoo.methods.videomae_v2 import VideoMAEv2

__all__ = ["Method", "Output", "VideoMAE", "VideoMAEv2"]
