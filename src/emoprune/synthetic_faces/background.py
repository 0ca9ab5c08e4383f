"""The scene behind the face: a gradient, blurred shapes, and grain."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageDraw import ImageDraw as Draw

from emoprune.synthetic_faces.canvas import Color

HUES = (0.04, 0.08, 0.12, 0.4, 0.46, 0.52, 0.57, 0.61)  # terracotta to sand, sage, teal to blue


def draw_backdrop(size: tuple[int, int], generator: np.random.Generator) -> Image.Image:
    """Draw an out-of-focus RGB scene of size (width, height)."""
    hue = HUES[int(generator.integers(len(HUES)))]
    half = (max(2, size[0] // 2), max(2, size[1] // 2))  # what is out of focus needs no more pixels
    corners = np.array([[_color(hue, generator) for _ in range(2)] for _ in range(2)], dtype=np.uint8)
    image = Image.fromarray(corners).resize(half, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    _draw_shapes(draw, half, hue, generator)
    if generator.random() < 0.5:
        _draw_shelf(draw, half, hue, generator)
    blur = ImageFilter.GaussianBlur(generator.uniform(0.008, 0.02) * half[1])
    return image.filter(blur).resize(size, Image.Resampling.BICUBIC)


def _draw_shelf(draw: Draw, size: tuple[int, int], hue: float, generator: np.random.Generator) -> None:
    width, height = size
    top, left = generator.uniform(0.0, 0.5) * height, 0.0
    rise = generator.uniform(0.15, 0.35) * height
    while left < width:
        wide = generator.uniform(0.02, 0.07) * width
        tip = top + generator.uniform(0.0, 0.3) * rise
        draw.rectangle((left, tip, left + wide, top + rise), fill=_color(hue, generator))
        left += wide
    draw.rectangle((0, top + rise, width, top + 1.12 * rise), fill=_color(hue, generator))


def _draw_shapes(draw: Draw, size: tuple[int, int], hue: float, generator: np.random.Generator) -> None:
    width, height = size
    round_fraction = generator.random()
    for _ in range(int(generator.integers(6, 18))):
        x, y = generator.uniform(-0.1, 1.0) * width, generator.uniform(-0.1, 1.0) * height
        wide = generator.uniform(0.04, 0.3) * width
        tall = wide if generator.random() < round_fraction else generator.uniform(0.05, 0.6) * height
        if generator.random() < round_fraction:
            draw.ellipse((x, y, x + wide, y + tall), fill=_color(hue, generator))
        else:
            draw.rectangle((x, y, x + wide, y + tall), fill=_color(hue, generator))


def _color(hue: float, generator: np.random.Generator) -> Color:
    turned = (hue + generator.normal(0.0, 0.035) + 0.5 * (generator.random() < 0.15)) % 1.0
    saturation, value = generator.uniform(0.05, 0.42), generator.uniform(0.25, 0.9)
    red, green, blue = colorsys.hsv_to_rgb(turned, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
