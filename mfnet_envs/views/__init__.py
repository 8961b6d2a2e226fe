"""Four views of one simulation. A view packs and unpacks; the dynamics are the simulator's."""

from mfnet_envs.views.agents import AgentsEnv
from mfnet_envs.views.batch import AgentsBatch, Batch, TeamsBatch
from mfnet_envs.views.central import CentralEnv
from mfnet_envs.views.teams import TeamsEnv
from mfnet_envs.views.vector import CentralVectorEnv

__all__ = ["AgentsBatch", "AgentsEnv", "Batch", "CentralEnv", "CentralVectorEnv", "TeamsBatch", "TeamsEnv"]
