"""DEC-NEURAL-AC as learners of other names: the two ends of its bracket form, whose local critics see k hops, and its
costate form with a policy of another kind.

Independent: k = 0, a node learns from its own crowd and its own reward alone. Centralised: k = the network's diameter,
every critic sees all crowds, and every team climbs the advantages of all. Graph: what is learnt along the costates is
one graph network for all nodes, ``policies/graph.py``.
"""

from __future__ import annotations

from mfnet_agents.baselines.config import CentralisedACConfig, GraphACConfig, IndependentACConfig
from mfnet_agents.config import AlgorithmConfig
from mfnet_agents.dec_neural_ac.algorithm import DecNeuralAC


class IndependentAC(DecNeuralAC):
    """DEC-NEURAL-AC with k = 0."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return IndependentACConfig


class CentralisedAC(DecNeuralAC):
    """DEC-NEURAL-AC with k = diameter."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return CentralisedACConfig


class GraphAC(DecNeuralAC):
    """DEC-NEURAL-AC with a graph network for policy."""

    @classmethod
    def config_class(cls) -> type[AlgorithmConfig]:
        return GraphACConfig
