"""How parameters are trained: groups, schedule, strategy, checkpoints."""
