"""Slow, literal reference implementation that the tests compare the fast code with.

Everything starts from raw activation matrices ``h`` of shape (patterns, units) and goes pair by pair in plain
loops. No Gram matrix is formed, so a slip in the fast code's algebra cannot be repeated here.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ANGLE_DECIMALS = 5
SHARE = 0.01


def _matrix(h: Array) -> Array:
    """Return ``h`` as a float64 matrix with at least one pattern and one unit, or raise ValueError."""
    matrix = np.asarray(h, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] == 0:
        raise ValueError(f"expected a non-empty (patterns, units) matrix, got shape {matrix.shape}")
    return matrix


def layer_range(h: Array) -> float:
    """Return the largest minus the smallest activation over all patterns and all units of the layer."""
    matrix = _matrix(h)
    return float(matrix.max()) - float(matrix.min())


def _minus_own_mean(column: Array) -> Array:
    """Return one unit's activations minus their mean; exactly zero when they are all the same."""
    from_first = column - column[0]
    centered_column: Array = from_first - from_first.mean()
    return centered_column


def centered(h: Array, center: str) -> Array:
    """Return the activations as the angles see them, for center "half", "range", "mean" or "none".

    A layer whose activations are all one value has no range; "range" then puts every activation at -0.5.
    """
    matrix = _matrix(h)
    result = np.empty_like(matrix)
    lowest = float(matrix.min())
    spread = layer_range(matrix)
    for unit in range(matrix.shape[1]):
        column = matrix[:, unit]
        if center == "half":
            result[:, unit] = column - 0.5
        elif center == "range":
            result[:, unit] = (column - lowest) / (spread if spread > 0.0 else 1.0) - 0.5
        elif center == "mean":
            result[:, unit] = _minus_own_mean(column)
        elif center == "none":
            result[:, unit] = column
        else:
            raise ValueError(f"unknown center {center!r}")
    return result


def _unit_vector(v: Array) -> Array | None:
    """Return ``v`` at length one, or None when its length is zero."""
    largest = float(np.max(np.abs(v)))
    if largest == 0.0:
        return None
    scaled = v / largest
    direction: Array = scaled / math.sqrt(math.fsum(float(x) ** 2 for x in scaled))
    return direction


def _length(v: Array) -> float:
    """Return the Euclidean length of ``v``."""
    largest = float(np.max(np.abs(v)))
    if largest == 0.0:
        return 0.0
    return largest * math.sqrt(math.fsum((float(x) / largest) ** 2 for x in v))


def angle_deg(u: Array, v: Array) -> float:
    """Return the angle between two vectors in degrees, 0 to 180, or nan when either has length zero.

    Kahan's formula, which unlike the arc cosine loses nothing close to 0 and 180 degrees.
    """
    a = _unit_vector(np.asarray(u, dtype=np.float64))
    b = _unit_vector(np.asarray(v, dtype=np.float64))
    if a is None or b is None:
        return math.nan
    return math.degrees(2.0 * math.atan2(_length(a - b), _length(a + b)))


def angles_deg(h: Array, center: str) -> Array:
    """Return the (units, units) angles between every two units' centered activations, in degrees."""
    vectors = centered(h, center)
    units = vectors.shape[1]
    angles = np.empty((units, units), dtype=np.float64)
    for i in range(units):
        for j in range(units):
            angles[i, j] = angle_deg(vectors[:, i], vectors[:, j])
    return angles


def _rms(v: Array) -> float:
    """Return the root-mean-square of the entries of ``v``."""
    return _length(v) / math.sqrt(v.size)


def short_units(h: Array, center: str, share: float = SHARE) -> set[int]:
    """Return the units whose centered vector has an RMS length under ``share`` of the layer's range.

    Under "range" the lengths are already counted in ranges, so they are turned back first.
    """
    vectors = centered(h, center)
    spread = layer_range(h)
    scale = spread if center == "range" else 1.0
    return {unit for unit in range(vectors.shape[1]) if _rms(vectors[:, unit]) * scale < share * spread}


def constant_units(h: Array, share: float = SHARE) -> set[int]:
    """Return the units whose population standard deviation is under ``share`` of the layer's range."""
    matrix = _matrix(h)
    limit = share * layer_range(matrix)
    return {unit for unit in range(matrix.shape[1]) if _rms(_minus_own_mean(matrix[:, unit])) < limit}


def silent_units(h: Array) -> set[int]:
    """Return the units whose activation is exactly zero on all patterns."""
    matrix = _matrix(h)
    return {unit for unit in range(matrix.shape[1]) if all(float(x) == 0.0 for x in matrix[:, unit])}


def _leave_one(gone: set[int], units: int) -> set[int]:
    """Return ``gone`` without the lowest unit when it would otherwise be the whole layer."""
    return gone - {0} if len(gone) == units else set(gone)


def _pairs(h: Array, center: str, gone: set[int]) -> list[tuple[float, int, int]]:
    """Return (rounded angle, i, j), i < j, for every two units not in ``gone`` that have an angle."""
    vectors = centered(h, center)
    pairs = []
    for i in range(vectors.shape[1]):
        for j in range(i + 1, vectors.shape[1]):
            if i in gone or j in gone:
                continue
            angle = angle_deg(vectors[:, i], vectors[:, j])
            if not math.isnan(angle):
                pairs.append((round(angle, ANGLE_DECIMALS), i, j))
    return pairs


def _complementary(pairs: list[tuple[float, int, int]], threshold: float) -> list[tuple[int, int]]:
    """Return the pairs further apart than 180 degrees less the threshold, the widest angle first."""
    limit = round(180.0 - threshold, ANGLE_DECIMALS)
    chosen = [(-angle, i, j) for angle, i, j in pairs if angle > limit]
    return [(i, j) for _, i, j in sorted(chosen)]


def _similar(pairs: list[tuple[float, int, int]], threshold: float) -> list[tuple[int, int]]:
    """Return the pairs closer together than the threshold, the smallest angle first."""
    limit = round(threshold, ANGLE_DECIMALS)
    chosen = [(angle, i, j) for angle, i, j in pairs if angle < limit]
    return [(i, j) for _, i, j in sorted(chosen)]


def _final_survivors(merged_into: dict[int, int]) -> dict[int, int]:
    """Follow every chain of merges to the unit that is still there at its end."""
    merges = {}
    for unit in merged_into:
        survivor = unit
        while survivor in merged_into:
            survivor = merged_into[survivor]
        merges[unit] = survivor
    return merges


def _merge_similar(pairs: list[tuple[int, int]], removed: set[int]) -> tuple[set[int], dict[int, int]]:
    """Go through the similar pairs in order; return all removed units and where the merged ones end up."""
    removed = set(removed)
    merged_into: dict[int, int] = {}
    for i, j in pairs:
        if i not in removed and j not in removed:
            removed.add(j)
            merged_into[j] = i
    return removed, _final_survivors(merged_into)


def published_rule(h: Array, center: str, angle: float) -> tuple[set[int], dict[int, int]]:
    """Return the removed units and the merges of the published rule (Gedeon & Harris, 1991).

    Short and silent units go first; of a complementary pair both go; of a similar pair the higher index goes
    and is merged into the lower. At least one unit always stays.
    """
    units = _matrix(h).shape[1]
    removed = _leave_one(short_units(h, center) | silent_units(h), units)
    pairs = _pairs(h, center, removed)
    for i, j in _complementary(pairs, angle):
        if i not in removed and j not in removed:
            last_two = units - len(removed) == 2
            removed |= {j} if last_two else {i, j}
    return _merge_similar(_similar(pairs, angle), removed)


def one_of_each_rule(h: Array, center: str, angle: float) -> tuple[set[int], dict[int, int]]:
    """Return the removed units and the merges of the rule that keeps one of each complementary pair.

    Short, constant and silent units go first; of a complementary pair only the higher index goes, without a
    merge; of a similar pair the higher index goes and is merged into the lower. At least one unit stays.
    """
    units = _matrix(h).shape[1]
    removed = _leave_one(short_units(h, center) | constant_units(h) | silent_units(h), units)
    pairs = _pairs(h, center, removed)
    for i, j in _complementary(pairs, angle):
        if i not in removed and j not in removed:
            removed.add(j)
    return _merge_similar(_similar(pairs, angle), removed)


def kept_units(units: int, removed: set[int]) -> list[int]:
    """Return the units that are not removed, in ascending order."""
    return [unit for unit in range(units) if unit not in removed]


def summed(w: Array, b: Array, removed: set[int], merges: dict[int, int]) -> tuple[Array, Array]:
    """Add each merged unit's outgoing weights (outputs, units) to its survivor's; drop removed columns.

    The bias is returned unchanged, as a copy.
    """
    total = np.array(w, dtype=np.float64)
    for unit in sorted(removed):
        if unit in merges:
            total[:, merges[unit]] += w[:, unit]
    return total[:, kept_units(total.shape[1], removed)], np.array(b, dtype=np.float64)


def outputs(h: Array, w: Array, b: Array) -> Array:
    """Return the (patterns, outputs) output of a linear layer on the activations, one pattern at a time."""
    z = np.empty((h.shape[0], w.shape[0]), dtype=np.float64)
    for pattern in range(h.shape[0]):
        z[pattern] = w @ h[pattern] + b
    return z


def least_squares(h: Array, w: Array, b: Array, removed: set[int]) -> tuple[Array, Array]:
    """Return weights and bias on the kept units whose output is closest, in least squares, to the whole's."""
    matrix = _matrix(h)
    kept = matrix[:, kept_units(matrix.shape[1], removed)]
    design = np.hstack([kept, np.ones((kept.shape[0], 1))])
    solution = np.linalg.lstsq(design, outputs(matrix, w, b), rcond=None)[0]
    return np.array(solution[:-1].T, dtype=np.float64), np.array(solution[-1], dtype=np.float64)


def relative_error(h: Array, w: Array, b: Array, w_new: Array, b_new: Array, removed: set[int]) -> float:
    """Return the RMS change of the output over the RMS of the output about its mean.

    Where the output never varies the result is nan if nothing changed and infinite otherwise.
    """
    matrix = _matrix(h)
    z = outputs(matrix, w, b)
    z_new = outputs(matrix[:, kept_units(matrix.shape[1], removed)], w_new, b_new)
    change = math.fsum(float(x) ** 2 for x in (z - z_new).ravel())
    variation = 0.0
    for output in range(z.shape[1]):
        variation += math.fsum(float(x) ** 2 for x in _minus_own_mean(z[:, output]))
    if variation == 0.0:
        return math.nan if change == 0.0 else math.inf
    return math.sqrt(change / variation)
