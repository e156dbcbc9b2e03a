"""Which clips there are: layouts, indexes, copies for fast reading, and the embedded sets."""
