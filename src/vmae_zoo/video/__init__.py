"""One video file: probe, packet index, decode, frame conversion."""
