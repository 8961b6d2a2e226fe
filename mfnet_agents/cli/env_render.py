"""``mfnet env render``: a heuristic, or the policy of a run, as a picture, an animation, a page or text."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from mfnet_agents.cli.arguments import UsageError, add_environment, add_json, answer, needs, print_json, whole

HELP = "draw an episode into a picture or an animation"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser)
    parser.add_argument("out", metavar="FILE", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--out", dest="out_file", metavar="FILE", type=Path,
        help="a .gif (agents flow along edges), .png (the last moment), .html (a page with a scrubber) or .txt; "
        "without it, text on the screen",
    )  # fmt: skip
    parser.add_argument(
        "--policy", default="random", metavar="NAME|RUN",
        help="a heuristic of the environment, or a run folder or checkpoint (default random)",
    )  # fmt: skip
    parser.add_argument("--steps", type=whole, help="steps to play (default 30)")
    parser.add_argument("--seed", type=whole, default=0, help="seed of the film")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from mfnet_envs import drawing
    from mfnet_envs.registration import make_model

    if options.out is not None and options.out_file is not None:
        raise UsageError("two files are named; give one, with --out FILE")
    out, for_env = options.out_file or options.out, dict(options.env)
    policy: Any = options.policy
    if is_learnt(Path(policy)):
        algorithm = learnt(Path(policy), options.id, for_env)
        policy, model = algorithm.policy, algorithm.model
    else:
        model = answer(make_model, options.id, **for_env)
    with tempfile.TemporaryDirectory() as folder:
        file = answer(
            drawing.render_to, model, out or Path(folder) / "episode.txt", policy=policy, steps=options.steps,
            seed=options.seed, name=options.id, title=f"{options.id} · {options.policy}",
        )  # fmt: skip
        if options.json:
            print_json({"file": str(out)} if out else {"text": file.read_text("utf-8")})
        elif out is None:
            print(file.read_text("utf-8"), end="")
        else:
            print(f"wrote {file}")
    return 0


def is_learnt(path: Path) -> bool:
    """Whether a run or a checkpoint is there; a heuristic's name is none even where a folder is called like it."""
    return any((path / name).is_file() for name in ("config.json", "algorithm.json"))


def learnt(path: Path, id: str, options: dict[str, Any]) -> Any:
    """The algorithm of a run, as it was at its best.

    Raises:
        UsageError: it was trained on another environment than asked for.
    """
    needs("torch", "agents")
    from mfnet_agents import recorded
    from mfnet_agents.cli.evaluate import policies_of

    recorded.vouch(id)
    (algorithm,) = policies_of(path, ["best"]).values()
    config = algorithm.config
    if config.env != id:
        raise UsageError(f"{path} was trained on {config.env}, not on {id}")
    for name, value in options.items():
        if config.env_config.get(name) != value:
            had = repr(config.env_config[name]) if name in config.env_config else "its default"
            raise UsageError(f"{path} was trained with {name} = {had}, not {value!r}; leave it out")
    return algorithm
