"""Baselines that a comparison asks for: each an ``Algorithm`` of one file that reads like its paper; see
``docs/algorithms.md``. Their options, in ``config.py``, load without torch."""
