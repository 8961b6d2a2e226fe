"""What Weights & Biases and MLflow read of a comparison is what its tables say: pip install mfnet[wandb,mlflow]."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfnet_agents.comparison import processes, suites, trackers
from mfnet_agents.comparison.plan import ComparisonFolder, make_plan
from mfnet_agents.comparison.standings import Standings


@pytest.fixture
def standings(tmp_path: Path) -> Standings:
    plan = make_plan(suites.suite("mfnet-smoke-v1"), ["IPPO", "heuristics"], ["twobytwo"], seeds=2, budget=1024)
    folder = ComparisonFolder(tmp_path / "out")
    folder.begin(plan)
    for job in plan.jobs:
        processes.in_this_process(folder, plan, job)
    return Standings(folder)


def test_mlflow(standings: Standings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    where = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    assert where in trackers.export(standings, "mlflow", tmp_path)
    client = mlflow.MlflowClient(where)
    [experiment] = [each for each in client.search_experiments() if each.name == "mfnet-smoke-v1"]
    known = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    entries = standings.boards[0].entries
    assert len(known) == sum(len(entry.rows) for entry in entries.values()) >= 5
    for row in entries["IPPO"].rows:
        run = known[f"twobytwo IPPO seed {row['seed']}"]
        assert run.data.metrics["test/value"] == row["value"] and run.data.params["information"] == "own node"
        curve = client.get_metric_history(run.info.run_id, "choice/value")
        assert {p.step: p.value for p in curve} == {p["step"]: p["value"] for p in row["curve"]}


def records(path: Path) -> Iterator[bytes]:
    """Of a .wandb file: 7 bytes, then LevelDB's log format, blocks of 32 KiB; checksum, length, kind (1 whole, 2, 3,
    4 first, middle, last part) before each piece."""
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def test_wandb_offline(standings: Standings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file, by its own protocol."""
    wandb = pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    trackers.export(standings, "wandb", tmp_path)
    wandb.teardown()  # as at the end of a command: the last file is on disk then
    found = {}
    for path in (tmp_path / "wandb").glob("offline-run-*/run-*.wandb"):
        name, config, curve, summary = "", set(), {}, {}
        for data in records(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            name = record.run.display_name or name
            config |= {item.key for item in record.run.config.update}
            for update in record.summary.update:
                summary[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            if "choice/value" in row:
                curve[record.history.step.num] = row["choice/value"]
        found[name] = config, curve, summary
    entries = standings.boards[0].entries
    assert len(found) == sum(len(entry.rows) for entry in entries.values())
    for row in entries["IPPO"].rows:
        config, curve, summary = found[f"twobytwo IPPO seed {row['seed']}"]
        assert curve == {p["step"]: p["value"] for p in row["curve"]} and summary["test/value"] == row["value"]
        assert {"information", "contender", "actor_lr"} <= config
