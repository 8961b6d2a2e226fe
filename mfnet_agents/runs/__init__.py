"""A run: a folder, a training loop that can be stopped and taken up again, and an honest result.

``config.json``   the options, the yardstick with its bound, versions and the command;
``progress.csv``  one row per iteration, evaluations in the rows where they happened;
``checkpoints/``  ``last`` and ``best``; best is chosen on evaluation seeds of its own (reading 14);
``result.json``   both, measured once more on seeds that chose nothing, beside the random policy and the bound.
"""

from __future__ import annotations

from mfnet_agents.runs.folder import AllFailed, RunError, RunFolder, default_folder, same_options
from mfnet_agents.runs.presets import EVALUATIONS, make_config, preset, preset_notes
from mfnet_agents.runs.training import REPORT_SEED, REPORT_WORLDS, flat, interruption, measured, train, versions

__all__ = [
    "EVALUATIONS", "REPORT_SEED", "REPORT_WORLDS", "AllFailed", "RunError", "RunFolder", "default_folder", "flat",
    "interruption", "make_config", "measured", "preset", "preset_notes", "same_options", "train", "versions",
]  # fmt: skip
