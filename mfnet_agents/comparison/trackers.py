"""Finished runs handed on to TensorBoard, Weights & Biases or MLflow, each as one of theirs.

Every number is the harness's: ``choice/value`` at the points of the grid, and of the iterate that was chosen the
``test/..`` values, beside random and the bound. Where they go is the library's own business, its environment variables
(``WANDB_MODE``, ``MLFLOW_TRACKING_URI``) included; TensorBoard's events lie in the comparison's folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfnet_agents.comparison.plan import as_name
from mfnet_agents.comparison.standings import Standings
from mfnet_envs.words import optional_package

ANEW = "every export makes new runs there, so remove those of an earlier one"


@dataclass(frozen=True)
class Run:
    """One contender on one instance with one seed.

    Attributes:
        config: what it was, for filters. points: environment steps of the grid -> numbers. found: of the iterate in the
            tables; chosen_at: its environment steps, 0 of what was not trained.
    """

    instance: str
    contender: str
    seed: int
    config: dict[str, Any]
    points: dict[int, dict[str, float]]
    found: dict[str, float]
    chosen_at: int

    @property
    def name(self) -> str:
        return f"{self.instance} {self.contender} seed {self.seed}"


def runs(standings: Standings) -> Iterator[Run]:
    """All runs that did not crash."""
    for board in standings.boards:
        for entry in board.entries.values():
            for row in entry.rows:
                if row["error"] is not None:
                    continue
                value = float(row["value"])
                found = {
                    "value": value, "ci95": row["ci95"], "last_value": row.get("last_value"),
                    "score": board.yardstick.gap_closed(value, board.random),
                    "random": board.random, "bound": board.yardstick.bound,
                }  # fmt: skip
                who = {name: row[name] for name in ("instance", "contender", "seed", "information")}
                yield Run(
                    board.instance.name,
                    entry.name,
                    int(row["seed"]),
                    {**row.get("options", {}), **who, "env": board.instance.env, "kind": entry.kind},
                    {int(p["step"]): {"choice/value": float(p["value"])} for p in row.get("curve", ())},
                    {f"test/{name}": float(number) for name, number in found.items() if number is not None},
                    int(row.get("chosen_at", 0)),
                )


def export(standings: Standings, to: str, folder: Path) -> str:
    """Hand all runs on; the sentence that says where they are.

    Raises:
        ModuleNotFoundError: the library is not installed.
    """
    suite = standings.plan.suite.id
    return TRACKERS[to](list(runs(standings)), suite, folder)


def _tensorboard(found: Iterable[Run], suite: str, folder: Path) -> str:
    writer = optional_package("torch.utils.tensorboard", "log", "TensorBoard").SummaryWriter
    place = folder / "tensorboard"
    shutil.rmtree(place, ignore_errors=True)  # written again, it is the same
    for run in found:
        with writer(str(place / as_name(run.instance) / as_name(run.contender) / f"seed{run.seed}")) as log:
            log.add_text("config", "  \n".join(f"{key}: {value}" for key, value in run.config.items()))
            for step, numbers in (*run.points.items(), (run.chosen_at, run.found)):
                for name, number in numbers.items():
                    log.add_scalar(name, number, step)
    return f"for TensorBoard: tensorboard --logdir {place}"


def _wandb(found: Iterable[Run], suite: str, folder: Path) -> str:
    wandb = optional_package("wandb", "wandb", "Weights & Biases")
    quiet = wandb.Settings(silent=True)
    for run in found:
        same = {"project": suite, "group": run.instance, "name": run.name, "config": run.config}
        with wandb.init(**same, dir=str(folder), settings=quiet) as log:
            for step, numbers in run.points.items():
                log.log(numbers, step=step)
            log.summary.update({**run.found, "test/chosen_at": run.chosen_at})
    return f"for Weights & Biases: the project {suite}; what is kept here is in {folder / 'wandb'}; {ANEW}"


def _mlflow(found: Iterable[Run], suite: str, folder: Path) -> str:
    mlflow = optional_package("mlflow", "mlflow", "MLflow")
    mlflow.set_experiment(suite)
    for run in found:
        with mlflow.start_run(run_name=run.name):
            mlflow.log_params(run.config)
            for step, numbers in run.points.items():
                mlflow.log_metrics(numbers, step=step)
            mlflow.log_metrics(run.found, step=run.chosen_at)
    return f"for MLflow: the experiment {suite} of {mlflow.get_tracking_uri()}; {ANEW}"


TRACKERS: dict[str, Callable[[Iterable[Run], str, Path], str]] = {
    "tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow,
}  # fmt: skip
