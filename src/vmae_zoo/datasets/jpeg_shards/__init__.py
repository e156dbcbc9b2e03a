"""A data set as JPEG frames in tar shards: one read per frame; any machine can write or read a part."""
