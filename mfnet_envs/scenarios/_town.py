"""The city of ``MFNet-RideShare-v0`` where none is given."""

from __future__ import annotations

import numpy as np

from mfnet_envs.io.city_data import CityData


def town() -> CityData:
    """Six zones in the morning: the centre, and five around it whose people ride there; 12 steps of 5 minutes."""
    angle = 2 * np.pi * np.arange(5) / 5
    coordinates = 4.0 * np.concatenate([np.zeros((1, 2)), np.stack([np.cos(angle), np.sin(angle)], 1)])
    km = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    minutes = 2.0 + 2.0 * km
    demand = np.zeros((12, 6, 6))
    morning = np.linspace(1.0, 0.4, 12)
    demand[:, 1:, 0] = morning[:, None] * np.linspace(2.0, 1.0, 5)
    demand[:, 0, 1:] = 0.4 * (1.4 - morning)[:, None]
    demand[:, np.arange(1, 6), [2, 3, 4, 5, 1]] = 0.5
    ring = np.arange(1, 6)
    pairs = np.concatenate([np.stack([0 * ring, ring], 1), np.stack([ring, np.roll(ring, -1)], 1)])
    return CityData(
        name="a town of six zones",
        zones=("centre", "north-east", "north", "west", "south", "south-east"),
        step=5.0,
        start=7 * 60,
        demand=demand,
        travel_time=np.broadcast_to(minutes, demand.shape),
        fare=np.broadcast_to(4.0 + 1.5 * km, demand.shape),
        empty_time=minutes * (1 - np.eye(6)),
        neighbours=pairs,
        coordinates=coordinates,
        cars=40,
        cost=0.2,
    )
