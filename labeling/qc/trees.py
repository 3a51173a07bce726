"""Boosted trees as arrays: fitted elsewhere, run here by NumPy alone.

Suffixes: N nodes of all trees one after another, T trees, R rows (masklets), F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from labeling.errors import require

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LEAF = -1  # in place of a feature
_ROWS_AT_ONCE = 512  # so that the arrays of a step stay within the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Regression trees: at a split, a value up to `number` goes left, a missing one (NaN) where `missing_left` says.

    `feature_N` is the column that a node splits, -1 at a leaf, whose `number_N` is its value. `left_N` and `right_N` count
    nodes over all trees; `first_T` is each tree's root.
    """

    first_T: Ints
    feature_N: Ints
    number_N: Floats
    left_N: Ints
    right_N: Ints
    missing_left_N: Bools
    depth: int

    @classmethod
    def of(cls, nodes: Mapping[str, Sequence[Any]]) -> Self:
        """Make trees of plain lists: `sizes` nodes of each tree, and for every node `feature`, `number`, `left`, `right`,
        `missing_left`; children are counted from the root of their tree. A ValueError says what is not a tree.
        """
        sizes = np.array(nodes["sizes"], np.int64)
        require(bool((sizes > 0).all()), "sizes", nodes["sizes"][:5], "a number of nodes from 1 on for each tree")
        first_T = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
        base_N, feature_N = np.repeat(first_T, sizes), np.array(nodes["feature"], np.int64)
        number_N = np.array(nodes["number"], np.float64)
        leaf_N, place_N = feature_N == LEAF, np.arange(base_N.size)
        # A leaf leads to itself, so that all trees can be walked for as many steps as the deepest has.
        left_N = np.where(leaf_N, place_N, base_N + np.array(nodes["left"], np.int64))
        right_N = np.where(leaf_N, place_N, base_N + np.array(nodes["right"], np.int64))
        ends_N = base_N + np.repeat(sizes, sizes)
        fits = bool(((left_N >= place_N) & (right_N >= place_N) & (left_N < ends_N) & (right_N < ends_N)).all())
        require(fits, "left, right", "nodes elsewhere", "children after their parent, within its tree")
        require(bool(np.isfinite(number_N).all()), "number", "NaN or infinite", "finite numbers")
        missing_left_N = np.array(nodes["missing_left"], np.bool_)
        return cls(first_T, feature_N, number_N, left_N, right_N, missing_left_N, _depth(first_T, left_N, right_N))

    def __len__(self) -> int:
        return self.first_T.size

    def plain(self) -> dict[str, list[Any]]:
        """Return what `of` reads."""
        sizes = np.diff(np.append(self.first_T, self.feature_N.size))
        base_N, leaf_N = np.repeat(self.first_T, sizes), self.feature_N == LEAF
        return {
            "sizes": sizes.tolist(), "feature": self.feature_N.tolist(), "number": self.number_N.tolist(),
            "left": np.where(leaf_N, 0, self.left_N - base_N).tolist(),
            "right": np.where(leaf_N, 0, self.right_N - base_N).tolist(),
            "missing_left": self.missing_left_N.astype(int).tolist(),
        }

    def values(self, values_RF: Floats) -> Floats:
        """Return what each tree says of each row (R, T)."""
        parts = [self._values(values_RF[at:at + _ROWS_AT_ONCE]) for at in range(0, len(values_RF), _ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self)))

    def _values(self, values_RF: Floats) -> Floats:
        rows_R1, missing_RF = np.arange(len(values_RF))[:, None], np.isnan(values_RF)
        node_RT = np.broadcast_to(self.first_T, (len(values_RF), len(self)))
        for _ in range(self.depth):
            feature_RT = self.feature_N[node_RT]
            goes_left = values_RF[rows_R1, feature_RT] <= self.number_N[node_RT]
            goes_left = np.where(missing_RF[rows_R1, feature_RT], self.missing_left_N[node_RT], goes_left)
            node_RT = np.where(goes_left, self.left_N[node_RT], self.right_N[node_RT])
        out: Floats = self.number_N[node_RT]
        return out


def _depth(first_T: Ints, left_N: Ints, right_N: Ints) -> int:
    """Return how many steps lead to the farthest leaf."""
    level, depth = first_T, 0
    while (inner := level[left_N[level] != level]).size:
        level, depth = np.concatenate([left_N[inner], right_N[inner]]), depth + 1
    return depth
