"""A data set as JPEG frames in tar shards: any frame is one read away; any machine can make or read a part."""
