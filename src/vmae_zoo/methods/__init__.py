"""The methods: one paper, one file."""

from vmae_zoo.methods.base import Method, Output
from vmae_zoo.methods.videomae import VideoMAE

__all__ = ["Method", "Output", "VideoMAE"]
