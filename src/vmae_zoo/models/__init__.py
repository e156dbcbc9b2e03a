"""Networks: patch embedding, positions, blocks, encoder, decoders, and their published sizes."""
