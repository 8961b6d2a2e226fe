"""``mfnet verify``: the statements of the paper as experiments on small exact games, each with a verdict.

Every experiment is a module of this package with a ``TITLE`` and ``run(settings) -> Experiment``; the names below are
those of the command line, in the order of the page. They are imported when they are run.
"""

from __future__ import annotations

EXPERIMENTS = (
    "decomposition", "decay", "gradient", "marginal", "critic", "learning", "classes", "population", "locality",
)  # fmt: skip
OF_ANY_MODEL = ("decomposition", "decay", "gradient", "marginal")  # what can be asked of a user's own small model
