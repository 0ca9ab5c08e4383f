"""The plane a head is drawn on: face coordinates, the pose that projects them, and the pens.

Face coordinates have their origin between the eyes' height and the midline, x to the image's right,
y down, and one unit equal to half the head's height, so the crown is near y=-1 and the chin near y=1.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Layer = NDArray[np.float32]
Color = tuple[int, int, int]

SUPERSAMPLE = 3
NECK = np.array([[0.0, 0.8]])


def relief(x: Points, y: Points) -> Points:
    """How far the face's surface stands out toward the viewer, in units, elementwise over x and y."""
    return np.maximum(0.0, 0.6 - 0.6 * (x / 0.8) ** 2 - 0.6 * (y / 1.1) ** 2)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a head stands in the scene: center and unit in pixels, angles in radians."""

    center_x: float
    center_y: float
    unit: float
    roll: float
    yaw: float
    pitch: float

    def project(self, points: Points) -> Points:
        """Map (n, 2) face coordinates to (n, 2) scene pixels."""
        x, y = points[:, 0], points[:, 1]
        depth = relief(x, y)
        turned_x = x * np.cos(self.yaw) + depth * np.sin(self.yaw)
        turned_y = y * np.cos(self.pitch) + depth * np.sin(self.pitch)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        across = self.center_x + self.unit * (cos * turned_x - sin * turned_y)
        down = self.center_y + self.unit * (sin * turned_x + cos * turned_y)
        return np.column_stack((across, down))

    def unproject(self, across: Points, down: Points) -> tuple[Points, Points]:
        """Map scene pixels back to face coordinates x and y, near enough for smooth shading."""
        dx, dy = (across - self.center_x) / self.unit, (down - self.center_y) / self.unit
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        turned_x, turned_y = cos * dx + sin * dy, cos * dy - sin * dx
        depth = relief(turned_x, turned_y)
        return turned_x - depth * np.sin(self.yaw), turned_y - depth * np.sin(self.pitch)

    def upright(self) -> "Pose":
        """The pose of the shoulders: the same neck, leaning and turning less than the head."""
        lean = replace(self, roll=0.25 * self.roll, yaw=0.5 * self.yaw, pitch=0.0)
        (right, down), (leaning_right, leaning_down) = (pose.project(NECK)[0] for pose in (self, lean))
        x, y = lean.center_x + float(right - leaning_right), lean.center_y + float(down - leaning_down)
        return replace(lean, center_x=x, center_y=y)


class Canvas:
    """A transparent supersampled layer drawn on in face coordinates."""

    def __init__(self, size: tuple[int, int], pose: Pose) -> None:
        self.pose = pose
        # Every pen writes 255 into the fourth byte, so averaging pixels gives premultiplied color and its
        # coverage; RGBA would have Pillow multiply and divide by alpha again, at several times the cost.
        self._image = Image.new("RGBX", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, points: Points, color: Color) -> None:
        """Fill the closed outline through (n, 2) face coordinates."""
        self.fill_pixels(self.pose.project(points), color)

    def fill_pixels(self, points: Points, color: Color) -> None:
        """Fill the closed outline through (n, 2) scene pixels."""
        self._draw.polygon((points * SUPERSAMPLE).ravel().tolist(), fill=(*color, 255))

    def stroke(self, points: Points, width: float, color: Color, *, taper: float = 1.0) -> None:
        """Draw a brush stroke along (n, 2) face coordinates; taper 1 thins both ends, 0 neither."""
        ends = np.sin(np.linspace(0.0, np.pi, len(points)))
        half = 0.5 * width * (1.0 - taper + taper * ends)
        along = np.gradient(points, axis=0)
        normal = np.column_stack((-along[:, 1], along[:, 0]))
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        side = normal * half[:, None]
        self.fill(np.concatenate((points + side, (points - side)[::-1])), color)

    def flatten(self) -> Layer:
        """The antialiased layer at scene size: (height, width, 4), color times coverage, then coverage."""
        return np.asarray(self._image.reduce(SUPERSAMPLE), dtype=np.float32)


def smooth(knots: Points, count: int = 32) -> Points:
    """A curve of (count, 2) points passing smoothly through (n, 2) knots (Catmull-Rom)."""
    padded = np.concatenate((2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]))
    place = np.linspace(0.0, len(knots) - 1.0, count)
    left = np.minimum(place.astype(np.intp), len(knots) - 2)
    t = (place - left)[:, None]
    before, start, end, after = (padded[left + step] for step in range(4))
    square = (2 * before - 5 * start + 4 * end - after) * t**2
    cube = (3 * start - before - 3 * end + after) * t**3
    return np.asarray(0.5 * (2 * start + (end - before) * t + square + cube))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, count: int = 28) -> Points:
    """The outline of an ellipse, (count, 2)."""
    angle = np.linspace(0.0, 2 * np.pi, count, endpoint=False)
    return np.column_stack((x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)))


def moved(points: Points, x: float, y: float) -> Points:
    """The (n, 2) points shifted right by x and down by y."""
    return np.asarray(points + np.array([x, y]))


def mix(first: Color, second: Color, fraction: float) -> Color:
    """The color a given fraction of the way from first to second, clipped to 0..255."""
    red, green, blue = (
        min(255, max(0, round(a + (b - a) * fraction))) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def shade(color: Color, gain: float) -> Color:
    """The color scaled by gain, clipped to 0..255."""
    return mix((0, 0, 0), color, gain)
