"""The methods: one paper, one file."""

from vmae_zoo.methods.arvideo import ARVideo
from vmae_zoo.methods.base import Method, Output
from vmae_zoo.methods.classifier import Classifier
from vmae_zoo.methods.mae import MAE
from vmae_zoo.methods.mae_st import MAEST
from vmae_zoo.methods.mgmae import MGMAE
from vmae_zoo.methods.moco_v3 import MoCoV3
from vmae_zoo.methods.videomae import VideoMAE
from vmae_zoo.methods.videomae_v2 import VideoMAEv2

__all__ = ["MAE", "MAEST", "MGMAE", "ARVideo", "Classifier", "Method", "MoCoV3", "Output", "VideoMAE", "VideoMAEv2"]
