"""Decentralised policies: the team of state s sees its own size n = N mu(s) and nothing else."""
