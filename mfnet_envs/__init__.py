"""mfnet_envs: mean-field multi-agent environments on a network of states, with certified optima.

Importing the package registers its environments with Gymnasium and PettingZoo.

>>> import mfnet_envs
>>> env = mfnet_envs.parallel_env("MFNet-Grid-v0", view="teams", population=100)
>>> observations, infos = env.reset(seed=0)
>>> len(observations)
25
"""

from mfnet_envs import io, moved, scenarios
from mfnet_envs.bounds import Certificate
from mfnet_envs.evaluate import evaluate
from mfnet_envs.matching import expected_min
from mfnet_envs.measure import measure
from mfnet_envs.model import Branch, LocalModel, Quota
from mfnet_envs.network import StateNetwork
from mfnet_envs.policy import Policy, TeamPolicy
from mfnet_envs.policy_file import load_policy, save_policy
from mfnet_envs.registration import batch_env, env, make_model, parallel_env, register
from mfnet_envs.simulator import Simulator

__version__ = "0.2.0"

moved.forward()

__all__ = [
    "Branch",
    "Certificate",
    "LocalModel",
    "Policy",
    "Quota",
    "Simulator",
    "StateNetwork",
    "TeamPolicy",
    "batch_env",
    "env",
    "evaluate",
    "expected_min",
    "io",
    "load_policy",
    "make_model",
    "measure",
    "parallel_env",
    "register",
    "save_policy",
    "scenarios",
]
