"""A dispatcher: where do the idle cars of a region go now? It reads ``policy.npz`` of ``mfnet solve`` or ``mfnet
export`` and needs no torch and no data of the city.

usage: python dispatcher.py policy.npz REGION STEP IDLE
"""

import sys
import tempfile

import numpy as np

import mfnet_envs

if len(sys.argv) == 5:
    file, region, step, idle = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
else:  # without arguments: the rule by demand of the town that comes along
    town = mfnet_envs.make_model("MFNet-RideShare-v0")
    file = mfnet_envs.save_policy(town.heuristics()["proportional"], f"{tempfile.mkdtemp()}/policy.npz")
    region, step, idle = "centre", 3, 12
policy = mfnet_envs.load_policy(file)
shares = policy.at(region, idle, step)
cars = np.random.default_rng().multinomial(idle, list(shares.values()))
for (to, share), number in zip(shares.items(), cars.tolist(), strict=True):
    if number:
        print(f"{number} of {idle} cars {'stay in' if to == region else 'go to'} {to} (share {share:.3f})")
