"""Run by `make wheel` in an environment that holds the wheel and its base dependencies, and nothing else.

Not a pytest file: pytest is one of the things that are not there.
"""

import importlib
import importlib.util
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

EXTRAS = {
    "mfnet_envs.adapters.sb3": "sb3",
    "mfnet_envs.adapters.rllib": "rllib",
    "mfnet_envs.adapters.torchrl": "torchrl",
    "mfnet_envs.adapters.tianshou": "tianshou",
    "mfnet_envs.adapters.open_spiel": "open_spiel",
    "mfnet_agents.adapters.tune": "rllib",
    "mfnet_agents.adapters.ray_tasks": "rllib",
}


def main() -> None:
    """Import the installed package and let every id answer `mfnet env show` and `mfnet env check`."""
    import mfnet_envs

    home = Path(mfnet_envs.__file__).parent
    assert "site-packages" in home.parts, f"imported from {home}, not from the installed wheel"
    for lazy in ("torch", "scipy"):
        assert lazy not in sys.modules, f"import mfnet_envs loads {lazy}"
    for absent in ("torch", "pytest", "matplotlib", "PIL"):
        assert importlib.util.find_spec(absent) is None, f"{absent} came along with the base dependencies"
    for package in ("mfnet_envs", "mfnet_agents", "mfnet_theory"):
        assert (home.parent / package / "py.typed").exists(), f"{package} is installed without its py.typed"

    mfnet = Path(sys.executable).with_name("mfnet")
    listing = subprocess.run([mfnet, "env", "list"], check=True, capture_output=True, text=True).stdout
    ids = sorted(word for word in listing.split() if word.startswith("MFNet-"))
    assert ids, f"`mfnet env list` names no environment:\n{listing}"
    for env_id in ids:
        for verb in ("show", "check"):
            subprocess.run([mfnet, "env", verb, env_id], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([mfnet, "doctor"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([mfnet, "init", "scenario", "mine"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        subprocess.run(
            [mfnet, "env", "check", "mine/city.py:Vendors"], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )
        Path(folder, "town.py").write_text("from mfnet_envs.scenarios.grid_v0 import build as town\n")
        target = ["town.py:town", "--env", "population=6", "rows=2", "cols=2"]
        for verb in ("show", "check"):
            subprocess.run([mfnet, "env", verb, *target], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    for library, extra in EXTRAS.items():
        try:
            importlib.import_module(library)
        except ModuleNotFoundError as error:
            command = shlex.split(str(error).partition("pip install ")[2])
            source = command[0].removesuffix(f"[{extra}]") if command else ""
            assert source == "mfnet" or Path(source).is_file(), f"import {library}: {error}"
        else:
            raise AssertionError(f"{library} is imported without its library")
    print(f"the wheel works on its own: mfnet {mfnet_envs.__version__}, {', '.join(ids)}, no torch")


if __name__ == "__main__":
    main()
