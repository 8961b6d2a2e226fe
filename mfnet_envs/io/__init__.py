"""Networks users bring: one door, :func:`load`, and one reader per format.

>>> from mfnet_envs import io
>>> sorted(io.FORMATS)
['gml', 'gmns', 'graphml', 'npz', 'sndlib', 'tntp', 'topohub']

Cities with their requests for rides have a door of their own, :func:`load_city`, which returns a :class:`CityData`.

Every other reader returns a :class:`NetworkData`; all raise :class:`NetworkFileError` with one sentence that names the
file, the place in it and what was expected.
"""

from mfnet_envs.io.cities import city_of_trips, load_city, read_city_csv, read_tlc_city
from mfnet_envs.io.city_data import CityData
from mfnet_envs.io.gmns import from_gmns
from mfnet_envs.io.loading import FORMATS, load
from mfnet_envs.io.manhattan import read_manhattan
from mfnet_envs.io.network_data import NetworkData, with_uniform_capacity
from mfnet_envs.io.networkx import from_networkx
from mfnet_envs.io.osmnx_graphml import from_osmnx_graphml
from mfnet_envs.io.polygons import read_zones
from mfnet_envs.io.reading import NetworkFileError
from mfnet_envs.io.rl4amod import read_rl4amod
from mfnet_envs.io.sndlib import from_sndlib, read_matrices
from mfnet_envs.io.tlc import TripTable, read_tlc
from mfnet_envs.io.tntp import from_tntp, read_flow
from mfnet_envs.io.topohub import from_topohub
from mfnet_envs.io.topology_zoo import from_topology_zoo

__all__ = [
    "FORMATS",
    "CityData",
    "NetworkData",
    "NetworkFileError",
    "TripTable",
    "city_of_trips",
    "from_gmns",
    "from_networkx",
    "from_osmnx_graphml",
    "from_sndlib",
    "from_tntp",
    "from_topohub",
    "from_topology_zoo",
    "load",
    "load_city",
    "read_city_csv",
    "read_flow",
    "read_manhattan",
    "read_matrices",
    "read_rl4amod",
    "read_tlc",
    "read_tlc_city",
    "read_zones",
    "with_uniform_capacity",
]
