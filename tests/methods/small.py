"""Settings of every method, small enough for a step in milliseconds."""

SMALL = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}
CLIP = {"frames": 4, "image_size": 64}

CASES = {
    "VideoMAE": CLIP | DECODER | {"mask_ratio": 0.75},
    "VideoMAEv2": CLIP | DECODER | {"mask_ratio": 0.75, "frames": 8},
    "MGMAE": CLIP | DECODER | {"mask_ratio": 0.75},
    "MAE": DECODER | {"image_size": 64},
    "MAEST": DECODER | {"frames": 16, "image_size": 64},
    "ARVideo": DECODER | {"frames": 8, "image_size": 64, "cluster": (2, 2, 2)},
    "MoCoV3": CLIP | {"projection_width": 16, "projection_dim": 8},
    "VJEPA": CLIP | {"predictor_width": 16, "predictor_depth": 1, "predictor_num_heads": 2},
    "Classifier": CLIP | {"num_classes": 3},
}
