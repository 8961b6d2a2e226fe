"""The card of the Manhattan table says what the table is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_envs.data import FOLDER

PAGES = Path(__file__).parents[1] / "docs" / "data"
KINDS = {"sc:Text": "U", "cr:Int16": "int16", "cr:Int32": "int32", "cr:Int64": "int64", "cr:Float64": "float64"}
# What NeurIPS asks of a data set beyond Croissant's core, and what the RAI vocabulary has besides.
RAI = (
    "dataCollection", "dataPreprocessingProtocol", "dataBiases", "dataLimitations", "dataUseCases",
    "dataSocialImpact", "personalSensitiveInformation", "dataReleaseMaintenancePlan", "dataCollectionTimeframe",
)  # fmt: skip


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PAGES / "manhattan.croissant.json").read_text("utf-8"))
    return found


def test_the_file_is_this_one(card: dict[str, Any]) -> None:
    (file,) = card["distribution"]
    there = (PAGES / file["contentUrl"]).resolve()
    assert there == FOLDER / "nyc_manhattan_2018" / "manhattan.npz"
    assert file["sha256"] == hashlib.sha256(there.read_bytes()).hexdigest()
    assert file["contentSize"] == f"{there.stat().st_size} B"


def test_fields_are_the_arrays(card: dict[str, Any]) -> None:
    (records,) = card["recordSet"]
    with np.load(FOLDER / "nyc_manhattan_2018" / "manhattan.npz", allow_pickle=False) as table:
        assert [field["name"] for field in records["field"]] == table.files
        for field in records["field"]:
            array = table[field["name"]]
            assert field["isArray"] is True and field["arrayShape"] == ",".join(map(str, array.shape))
            assert KINDS[field["dataType"]] in (str(array.dtype), array.dtype.kind)
            assert field["source"]["fileObject"]["@id"] == card["distribution"][0]["@id"]
        assert f"{table['trips'].sum():,} trips" in card["description"]
        assert f"{len(table['zone_ids'])} zones" in card["description"]


def test_it_says_who_and_under_what_licence(card: dict[str, Any]) -> None:
    notice = (FOLDER / "nyc_manhattan_2018" / "NOTICE").read_text("utf-8")
    assert card["license"].endswith("LICENSE-2.0") and "Apache License, Version 2.0" in notice
    assert card["creator"]["name"] in notice and card["url"] in notice
    assert "http://mlcommons.org/croissant/RAI/1.0" in card["conformsTo"]


@pytest.mark.parametrize("name", RAI)
def test_what_responsible_use_asks_for_is_answered(name: str, card: dict[str, Any]) -> None:
    answer = card[f"rai:{name}"]
    assert answer and all(len(said) >= 10 for said in ([answer] if isinstance(answer, str) else answer))


def test_the_days_assumed_are_those_of_the_code(card: dict[str, Any]) -> None:
    from mfnet_envs.data import BUSINESS_DAYS

    assert f"assumes {BUSINESS_DAYS} of each weekday" in str(card["rai:dataLimitations"])
