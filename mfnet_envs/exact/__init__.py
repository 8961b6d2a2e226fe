"""Small games solved instead of simulated: the oracle that everything else is held against.

:class:`ExactGame` enumerates count vectors; :class:`NamedGame` does the same with agents that have names, written
independently and more slowly; ``best_individual`` and ``best_team`` search the decentralised classes.
"""

from mfnet_envs.compositions import compositions, rank
from mfnet_envs.exact.evaluation import Evaluation
from mfnet_envs.exact.game import ExactGame
from mfnet_envs.exact.named import NamedGame
from mfnet_envs.exact.search import Found, best_individual, best_team
from mfnet_envs.exact.tables import IndividualTable, TeamTable

__all__ = [
    "Evaluation",
    "ExactGame",
    "Found",
    "IndividualTable",
    "NamedGame",
    "TeamTable",
    "best_individual",
    "best_team",
    "compositions",
    "rank",
]
