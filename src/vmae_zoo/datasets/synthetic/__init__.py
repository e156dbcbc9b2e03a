"""The embedded data sets, see `vmae_zoo.datasets.synthetic.embedded`."""
