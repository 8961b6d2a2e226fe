"""Inputs that nobody meant, for every public door of mfnet: files, arguments, actions, seeds, checkpoints, run folders,
commands, and ``kill -9`` at random moments. No part of the product.

``make fuzz MINUTES=20`` runs it; ``python -m fuzz --help`` lists what can be chosen. A *target* is one door and the
inputs made for it; a *case* is a target, the seed and a number, and is the same wherever it is run. What counts as a
fault stands in :mod:`fuzz.judging`.
"""
