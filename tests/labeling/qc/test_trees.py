import numpy as np
import pytest

from labeling.qc.fit import Boost, baseline_of, boosted, nodes_of
from labeling.qc.trees import Trees

STUMP = {"sizes": [3], "feature": [0, -1, -1], "number": [0.5, -1.0, 2.0], "left": [1, 0, 0], "right": [2, 0, 0],
         "missing_left": [0, 0, 0]}


@pytest.mark.parametrize("seed", range(3))
def test_trees_give_what_scikit_learn_gives(seed):
    """On values seen and not, on bounds themselves (whole numbers), and where values are missing or infinite."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(900, 8))
    values[:, 3:5] = np.round(values[:, 3:5])
    values[rng.random(values.shape) < 0.15] = np.nan
    bad = np.nansum(values[:, :5], axis=1) + rng.normal(size=900) > 0
    models = [
        boosted(values[:600], bad[:600], [1, 1, 1, 1, -1, 0, 0, 0], boost=Boost(rounds=25, features_a_split=part), seed=seed)
        for part in (0.5, 1.0)
    ]
    trees = Trees.of(nodes_of(models))
    values[700, :] = np.nan
    values[701, :4], values[702, :4] = np.inf, -np.inf
    by_tree = trees.values(values)
    for at, model in zip((0, 25), models, strict=True):
        logit = by_tree[:, at:at + 25].sum(axis=1) + baseline_of(model)
        assert np.abs(1 / (1 + np.exp(-logit)) - model.predict_proba(values)[:, 1]).max() < 1e-6


def test_a_bound_belongs_to_the_left_and_a_missing_value_goes_where_the_node_says():
    values = np.array([[0.5], [0.50001], [np.nan]])
    assert Trees.of(STUMP).values(values)[:, 0].tolist() == [-1.0, 2.0, 2.0]
    assert Trees.of(STUMP | {"missing_left": [1, 0, 0]}).values(values)[2, 0] == -1.0


def test_trees_are_read_as_they_were_written():
    trees = Trees.of(STUMP)
    assert trees.plain() == STUMP
    assert (len(trees), trees.depth) == (1, 1)
    assert trees.values(np.zeros((0, 1))).shape == (0, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"left": [3, 0, 0]}, "children after their parent"),
        ({"right": [-1, 0, 0]}, "children after their parent"),
        ({"number": [0.5, float("nan"), 2.0]}, "finite numbers"),
        ({"sizes": [0]}, "a number of nodes from 1 on"),
    ],
)
def test_what_is_no_tree_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        Trees.of(STUMP | change)
