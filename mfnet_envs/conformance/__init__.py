"""Is it what it says? Checks of models and of anyone's PettingZoo environments, each violation one sentence."""

from mfnet_envs.conformance.environments import CHECKS, Findings, ParallelEnvConformance, check_parallel_env, examine
from mfnet_envs.conformance.models import ModelReport, check_env, check_model
from mfnet_envs.conformance.subject import NotOffered, Subject

__all__ = [
    "CHECKS",
    "Findings",
    "ModelReport",
    "NotOffered",
    "ParallelEnvConformance",
    "Subject",
    "check_env",
    "check_model",
    "check_parallel_env",
    "examine",
]
