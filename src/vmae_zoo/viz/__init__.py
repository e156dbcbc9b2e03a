"""Pictures of masks and reconstructions."""
