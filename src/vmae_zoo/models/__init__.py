"""Networks: cubes, positions, blocks, the encoder, the decoders, and their published sizes."""
