"""What happens beside training: the run folder, pictures, throughput, checks."""
