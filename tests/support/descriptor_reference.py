"""LPQ and PHOG spelled out pixel by pixel, straight from their definitions, for gray pictures in 0..1."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Picture = tuple[tuple[float, ...], ...]
Rows = list[list[float]]

WINDOW = [(dx, dy) for dy in range(-3, 4) for dx in range(-3, 4)]
"""Offsets (right, down) within the 7x7 window of LPQ."""

FREQUENCIES = [(1 / 7, 0.0), (0.0, 1 / 7), (1 / 7, 1 / 7), (1 / 7, -1 / 7)]
"""(right, down), in cycles per pixel."""


def wave(frequency: tuple[float, float], offset: tuple[int, int]) -> complex:
    """exp(-2 pi j u.y)."""
    return cmath.exp(-2j * math.pi * (frequency[0] * offset[0] + frequency[1] * offset[1]))


def parts(numbers: Sequence[complex]) -> list[float]:
    """Real and imaginary part of each in turn."""
    return [part for number in numbers for part in (number.real, number.imag)]


def lpq_parts(picture: Picture, x: int, y: int) -> list[float]:
    """The window around a pixel at every frequency: F(u, x) = sum of f(x - y) e^(-2 pi j u.y)."""
    return parts(
        [
            sum((picture[y - dy][x - dx] * wave(u, (dx, dy)) for dx, dy in WINDOW), start=0j)
            for u in FREQUENCIES
        ]
    )


def lpq_covariance() -> Rows:
    """Of the eight parts, where pixels at distance d correlate by 0.9 ** d."""
    weights = [parts([wave(u, offset) for u in FREQUENCIES]) for offset in WINDOW]
    found = [[0.0] * 8 for _ in range(8)]
    for a, (ax, ay) in enumerate(WINDOW):
        for b, (bx, by) in enumerate(WINDOW):
            correlation = 0.9 ** math.hypot(ax - bx, ay - by)
            for i in range(8):
                for j in range(8):
                    found[i][j] += weights[a][i] * correlation * weights[b][j]
    return found


@cache
def lpq_axes() -> Rows:
    """Eigenvectors of the covariance, the largest eigenvalue first.

    Two eigenvalues come twice; a diagonal that is almost the unit matrix tells them apart. Of each vector
    the first entry with more than a tenth of the largest magnitude is positive.
    """
    scale = [1.000007, 1.000006, 1.000005, 1.000004, 1.000003, 1.000002, 1.000001, 1.0]
    covariance = lpq_covariance()
    apart = np.array([[scale[i] * covariance[i][j] * scale[j] for j in range(8)] for i in range(8)])
    _, vectors = np.linalg.eigh(apart)
    axes = []
    for index in range(7, -1, -1):
        axis = [float(vectors[i][index]) for i in range(8)]
        notable = [entry for entry in axis if abs(entry) > max(map(abs, axis)) / 10]
        axes.append([entry if notable[0] > 0 else -entry for entry in axis])
    return axes


def lpq_codes(picture: Picture) -> list[list[int]]:
    """The code of every pixel that has a whole window."""
    axes = lpq_axes()
    codes = []
    for y in range(3, len(picture) - 3):
        row = []
        for x in range(3, len(picture[0]) - 3):
            values = lpq_parts(picture, x, y)
            code = 0
            for bit, axis in enumerate(axes):
                component = sum(a * value for a, value in zip(axis, values, strict=True))
                # what is zero but for rounding counts as zero
                if component >= -1e-9:
                    code += 2**bit
            row.append(code)
        codes.append(row)
    return codes


def lpq(picture: Picture) -> list[float]:
    """The share of each of the 256 codes."""
    codes = [code for row in lpq_codes(picture) for code in row]
    return [codes.count(code) / len(codes) for code in range(256)]


def at(picture: Picture, x: int, y: int) -> float:
    """A pixel; beyond the border the nearest one."""
    return picture[min(max(y, 0), len(picture) - 1)][min(max(x, 0), len(picture[0]) - 1)]


@cache
def smoothed(picture: Picture) -> Picture:
    """Each pixel's mean with Gaussian weights of sigma sqrt(2), cut off beyond 6 pixels."""
    weights = {
        (dx, dy): math.exp(-(dx * dx + dy * dy) / (2 * 2.0)) for dx in range(-6, 7) for dy in range(-6, 7)
    }
    total = sum(weights.values())
    return tuple(
        tuple(
            sum(weight * at(picture, x + dx, y + dy) for (dx, dy), weight in weights.items()) / total
            for x in range(len(picture[0]))
        )
        for y in range(len(picture))
    )


def sobel(picture: Picture, x: int, y: int) -> tuple[float, float]:
    """How much brighter it grows to the right and downwards."""
    right = sum(
        weight * (at(picture, x + 1, y + dy) - at(picture, x - 1, y + dy))
        for dy, weight in ((-1, 1), (0, 2), (1, 1))
    )
    down = sum(
        weight * (at(picture, x + dx, y + 1) - at(picture, x + dx, y - 1))
        for dx, weight in ((-1, 1), (0, 2), (1, 1))
    )
    return right, down


def step_of(right: float, down: float) -> tuple[int, int]:
    """The neighbor (right, down) that a gradient points to or away from, the one that is read later."""
    angle = math.degrees(math.atan2(down, right)) % 180
    if angle <= 22.5 or angle >= 157.5:
        return 1, 0
    if angle < 67.5:
        return 1, 1
    if angle <= 112.5:
        return 0, 1
    return -1, 1


def thin(picture: Picture) -> Rows:
    """Gradient magnitudes of the smoothed picture, 0 where a neighbor along the gradient has a larger one.

    Of two equal ones side by side the first that is read keeps its own.
    """
    height, width = len(picture), len(picture[0])
    soft = smoothed(picture)
    gradients = [[sobel(soft, x, y) for x in range(width)] for y in range(height)]
    sizes = [[math.hypot(*gradient) for gradient in row] for row in gradients]
    slack = 1e-9 * max(map(max, sizes))

    def size(x: int, y: int) -> float:
        return sizes[y][x] if 0 <= x < width and 0 <= y < height else 0.0

    found = [[0.0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            dx, dy = step_of(*gradients[y][x])
            if size(x, y) > size(x - dx, y - dy) + slack and size(x, y) >= size(x + dx, y + dy) - slack:
                found[y][x] = size(x, y)
    return found


def thresholds(picture: Picture) -> tuple[float, float]:
    """Low and high: high is the least 64th of the largest magnitude that 70% of the pixels do not exceed."""
    soft = smoothed(picture)
    sizes = [math.hypot(*sobel(soft, x, y)) for y in range(len(soft)) for x in range(len(soft[0]))]
    peak = max(sizes)
    for step in range(1, 65):
        below = sum(1 for size in sizes if 64 * size / peak <= step + 1e-9)
        if 10 * below >= 7 * len(sizes):
            high = step * peak / 64
            return 0.4 * high - 1e-9 * peak, high - 1e-9 * peak
    raise AssertionError("none exceeds the largest")


@cache
def edges(picture: Picture) -> frozenset[tuple[int, int]]:
    """(x, y) of every edge pixel (Canny 1986): strong ones, and weak ones that touch an edge, corners too."""
    soft = smoothed(picture)
    width, height = len(picture[0]), len(picture)
    if max(math.hypot(*sobel(soft, x, y)) for y in range(height) for x in range(width)) <= 1e-9:
        return frozenset()
    ridge = thin(picture)
    low, high = thresholds(picture)
    found: set[tuple[int, int]] = set()
    waiting = [(x, y) for y in range(height) for x in range(width) if ridge[y][x] >= high]
    while waiting:
        x, y = waiting.pop()
        if (x, y) in found:
            continue
        found.add((x, y))
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                inside = 0 <= x + dx < width and 0 <= y + dy < height
                if inside and ridge[y + dy][x + dx] >= low:
                    waiting.append((x + dx, y + dy))
    return frozenset(found)


def phog(picture: Picture, levels: int) -> list[float]:
    """Votes of the edge pixels by cell and orientation of the unsmoothed gradient, summed to 1."""
    width, height = len(picture[0]), len(picture)
    votes: list[float] = []
    found = sorted(edges(picture))
    for level in range(levels + 1):
        cells = 2**level
        for row in range(cells):
            for column in range(cells):
                bins = [0.0] * 8
                for x, y in found:
                    # pixel y lies in cell floor(y * cells / height)
                    if y * cells // height == row and x * cells // width == column:
                        right, down = sobel(picture, x, y)
                        size = math.hypot(right, down)
                        if size > 1e-9:
                            angle = math.degrees(math.atan2(down, right)) % 360
                            bins[int((angle + 22.5) // 45) % 8] += size
                votes += bins
    total = sum(votes)
    return [vote / total for vote in votes] if total else votes


def picture(pixels: NDArray[np.uint8]) -> Picture:
    """An 8-bit array as these functions take it."""
    return tuple(tuple(pixel / 255 for pixel in row) for row in pixels.tolist())
