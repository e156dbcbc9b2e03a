"""Which clips a data set has: layouts, index, re-encoded and cached copies, synthetic data sets."""
