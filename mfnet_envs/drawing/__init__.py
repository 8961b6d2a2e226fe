"""Pictures and films of any model on any graph, drawn without a display.

>>> import numpy as np
>>> import mfnet_envs
>>> from mfnet_envs.drawing import Scene, ansi
>>> model = mfnet_envs.make_model("MFNet-Grid-v0", rows=1, cols=2, population=3)
>>> print(ansi(model, Scene(np.array([1, 2])), "two cells"))
two cells · step 0 · N 3
   1    2
"""

from mfnet_envs.drawing.files import gif, png, render_to
from mfnet_envs.drawing.film import Film, frames, shoot, still
from mfnet_envs.drawing.film_page import page
from mfnet_envs.drawing.render import ansi, rgb_array, show
from mfnet_envs.drawing.scene import Scene, net_moves, node_counts

__all__ = [
    "Film",
    "Scene",
    "ansi",
    "frames",
    "gif",
    "net_moves",
    "node_counts",
    "page",
    "png",
    "render_to",
    "rgb_array",
    "shoot",
    "show",
    "still",
]
