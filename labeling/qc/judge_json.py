"""Judges as JSON: written so that equal ones have equal text, whose SHA-256 names them, and the ones that are shipped."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from labeling.errors import BadConfiguration, require
from labeling.qc.judge import Calibration, Head, Judge, Usual
from labeling.qc.trees import Trees

FORMAT = 1
SHIPPED = ("nano",)


def to_json(document: Mapping[str, Any]) -> str:
    """Write a judge's plain values: sorted names, no spaces, no NaN."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(text: str) -> str:
    """Return what names a judge: the SHA-256 of its JSON."""
    return hashlib.sha256(text.encode()).hexdigest()


def judge_from_json(text: str, where: str) -> Judge:
    """Read a judge; BadConfiguration says where it lies and what is wrong with it."""
    try:
        document = json.loads(text)
        # Named by what it says, not by how somebody's editor spaced it.
        return judge_of(document, digest_of(to_json(document)))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise BadConfiguration(
            f"{where} is no judge ({error}); expected JSON that `labeling judge fit` wrote, as `labeling judge show` reads it"
        ) from error


@cache
def shipped_judge(name: str) -> Judge:
    """Return a judge that is in the package."""
    text = resources.files("labeling.qc").joinpath("judges", f"{name}.json").read_text(encoding="utf-8")
    return judge_from_json(text, f"the judge {name!r}")


def judge_of(document: Mapping[str, Any], digest: str = "") -> Judge:
    """Make a judge of plain values; a ValueError says what is wrong with them."""
    require(document.get("format") == FORMAT, "format", document.get("format"), f"{FORMAT}, which this version reads")
    calibration = document["calibration"]
    return Judge(
        name=str(document["name"]), model=str(document["model"]), weights=tuple(document["weights"]),
        features=tuple(document["features"]), heads=tuple(Head(**head) for head in document["heads"]),
        trees=Trees.of(document["trees"]),
        calibration=Calibration(np.array(calibration["score"], float), np.array(calibration["risk"], float)),
        usual=usual_of(document["usual"]),
        accept_below=float(document["accept_below"]), reject_from=float(document["reject_from"]),
        facts=document.get("facts", {}), digest=digest,
    )


def usual_of(document: Mapping[str, Any]) -> Usual:
    """Make what good tracks look like of plain values; a feature that is not looked at has null in place of quantiles."""
    levels = document["levels"]
    quantiles = [row if row is not None else [np.nan] * len(levels) for row in document["quantiles"]]
    return Usual(
        np.array(levels, float), np.array(quantiles, float), np.array(document["signs"], float), document["num_tracks"],
        document["review_from"],
    )


def document_of(judge: Judge) -> dict[str, Any]:
    """Return a judge as plain values, which `judge_of` reads."""
    usual = judge.usual
    quantiles = [row.tolist() if np.isfinite(row[0]) else None for row in usual.quantiles_FK]
    return {
        "format": FORMAT, "name": judge.name, "model": judge.model, "weights": list(judge.weights),
        "features": list(judge.features),
        "heads": [{"name": h.name, "num_trees": h.num_trees, "baseline": h.baseline, "weight": h.weight} for h in judge.heads],
        "trees": judge.trees.plain(),
        "calibration": {"score": judge.calibration.score_K.tolist(), "risk": judge.calibration.risk_K.tolist()},
        "usual": {
            "levels": usual.levels_K.tolist(), "quantiles": quantiles, "signs": usual.signs_F.astype(int).tolist(),
            "num_tracks": usual.num_tracks, "review_from": usual.review_from,
        },
        "accept_below": judge.accept_below, "reject_from": judge.reject_from, "facts": dict(judge.facts),
    }
