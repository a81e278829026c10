"""What if the camera is poor? The seven corruptions of the papers' robustness tables, at five severities each.

AdaMerging (Tables 4 and 7) and DOGE (Table 8) test on the pictures of Hendrycks & Dietterich (2019), of which two definitions
are in use: those of CIFAR-10-C ("cifar", the milder ones, which the papers' harness FusionBench takes) and those of ImageNet-C
("imagenet"). Noise acts on pixel values in [0, 1], and values that leave this range are clipped. Constants in pixels (radius
and standard deviation of a blur) are used as they are, although our pictures have 32 x 32 pixels and ImageNet's 224 x 224.
"""

import hashlib
import io
import math
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, shift

from ..paths import CACHE, write_atomically
from . import SPLITS, _source_digest, load_pictures, load_task

CORRUPTIONS = ("motion blur", "impulse noise", "gaussian noise", "pixelate", "spatter", "contrast", "jpeg compression")
SEVERITIES = (1, 2, 3, 4, 5)
CONSTANTS = {      # for each definition and corruption, the constants of severities 1 to 5
    "cifar": {
        "motion blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "impulse noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "gaussian noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
        "spatter": ((0.62, 0.1, 0.7, 0.7, 0.5, 0), (0.65, 0.1, 0.8, 0.7, 0.5, 0), (0.65, 0.3, 1, 0.69, 0.5, 0),
                    (0.65, 0.1, 0.7, 0.69, 0.6, 1), (0.65, 0.1, 0.5, 0.68, 0.6, 1)),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "jpeg compression": (80, 65, 58, 50, 40)},
    "imagenet": {
        "motion blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "impulse noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "gaussian noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
        "spatter": ((0.65, 0.3, 4, 0.69, 0.6, 0), (0.65, 0.3, 3, 0.68, 0.6, 0), (0.65, 0.3, 2, 0.68, 0.5, 0),
                    (0.65, 0.3, 1, 0.65, 1.5, 1), (0.67, 0.4, 1, 0.65, 1.5, 1)),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "jpeg compression": (25, 18, 15, 10, 7)}}
MEANINGS = {
    "motion blur": "radius and standard deviation of the trail, pixels",
    "impulse noise": "fraction of values set to black or white",
    "gaussian noise": "standard deviation, pixel values in [0, 1]",
    "pixelate": "size after shrinking, fraction",
    "spatter": "mean, deviation, smoothing (pixels), threshold; strength of water or blur of mud (pixels); 0 water, 1 mud",
    "contrast": "factor on the distance from the mean",
    "jpeg compression": "quality, 1 to 95"}
WATER, MUD = np.array([175, 238, 238]) / 255, np.array([63, 42, 20]) / 255      # pale turquoise, brown


def corruption_table():
    """All constants as a DataFrame: definition, corruption, what the constant is, and a column for each severity 1 to 5."""
    return pd.DataFrame([{"definition": definition, "corruption": name, "constant": MEANINGS[name],
                          **dict(zip(SEVERITIES, constants[name]))}
                         for definition, constants in CONSTANTS.items() for name in CORRUPTIONS])


def condition(name, severity, definition="cifar"):
    """The text under which results are filed, such as "motion blur 3 cifar".

    `name`: one of `CORRUPTIONS`; `severity`: 1 to 5; `definition`: key of `CONSTANTS`. Otherwise ValueError with the choices.
    """
    for what, value, choices in (("corruption", name, CORRUPTIONS), ("severity", severity, SEVERITIES),
                                 ("definition", definition, tuple(CONSTANTS))):
        if value not in choices:
            raise ValueError(f"There is no {what} {value!r}. Choose one of: {', '.join(map(str, choices))}.")
    return f"{name} {int(severity)} {definition}"


def parse_condition(text):
    """The (name, severity, definition) of a text that `condition` wrote; ValueError for any other text."""
    name, severity, definition = ("", "", *text.rsplit(" ", 2))[-3:]
    if not (name and severity.isdecimal() and condition(name, int(severity), definition) == text):
        raise ValueError(f"{text!r} is no condition. Expected a corruption, a severity and a definition, such as "
                         f"'motion blur 3 cifar'; corruptions: {', '.join(CORRUPTIONS)}; severities: 1 to 5; "
                         f"definitions: {', '.join(CONSTANTS)}.")
    return name, int(severity), definition


def corrupt(picture, condition, rng):
    """One corrupted picture (uint8 H x W x 3), from `picture` of the same kind, which stays as it is.

    `condition`: a text of `condition`; `rng`: numpy Generator, the only source of chance. ValueError for other conditions and
    for arrays that are no such picture.
    """
    name, severity, definition = parse_condition(condition)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"Expected one picture, uint8 H x W x 3, but found {picture.dtype} of shape {picture.shape}. Give "
                         f"pictures one by one, with values 0 to 255.")
    return _to_bytes(RECIPES[name](picture / 255, CONSTANTS[definition][name][severity - 1], rng))


def load_corrupted(task, split, condition, count=None, seed=0):
    """The pictures of `load_pictures(task, split, count, seed)` under one condition, corrupted once and kept on disk.

    Returns (pixels uint8 count x 32 x 32 x 3, labels int64 count). What happens to picture `index` is a function of seed,
    task, split, condition and index alone. ValueError for an unknown task or condition. JPEG bytes, and so the last grey
    level of "jpeg compression", may depend on the JPEG library that Pillow was built with.
    """
    parse_condition(condition)
    pixels, labels = load_pictures(load_task(task).name, split, count, seed)
    name = f"{task}-{split}-{len(labels)}-{seed}-{condition.replace(' ', '_')}-{_digest(task)}.npy"
    file = CACHE / "pictures" / name
    if not file.exists():
        stream = [seed, *(zlib.crc32(word.encode()) for word in (task, condition)), SPLITS[split]]
        corrupted = np.stack([corrupt(picture, condition, np.random.default_rng([*stream, index]))
                              for index, picture in enumerate(pixels)])
        write_atomically(file, lambda part: np.save(part, corrupted))
    return np.load(file), labels


def _digest(task):
    """Eight hex digits of the code that draws a task and of this module."""
    return hashlib.sha256(_source_digest(task).encode() + Path(__file__).read_bytes()).hexdigest()[:8]


def _to_bytes(x):
    """Values in [0, 1] as uint8, with what lies outside clipped."""
    return (np.clip(x, 0, 1) * 255).round().astype(np.uint8)


# --- recipes: each takes values in [0, 1], the constant of one severity and a Generator, and returns values to be clipped
def _motion_blur(x, constant, rng):
    """A trail within 45 degrees of the horizontal: shifted copies under half a Gaussian of 2 radius + 1 weights."""
    radius, sigma = constant
    angle = math.radians(rng.uniform(-45, 45))
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-((steps / sigma) ** 2) / 2)
    copies = (shift(x, (step * math.sin(angle), step * math.cos(angle), 0), order=1, mode="nearest") for step in steps)
    return sum(weight * copy for weight, copy in zip(weights / weights.sum(), copies))


def _impulse_noise(x, fraction, rng):
    """Salt and pepper: of this fraction of the values (each channel by itself), half become 0 and half become 1."""
    chance = rng.random(x.shape)
    return np.select([chance < fraction / 2, chance >= 1 - fraction / 2], [0.0, 1.0], x)


def _gaussian_noise(x, sigma, rng):
    """Independent normal noise on each value."""
    return x + rng.normal(0, sigma, x.shape)


def _pixelate(x, ratio, rng):
    """Shrunk to int(ratio x size) pixels with a box filter, then enlarged with a box filter."""
    size = x.shape[1], x.shape[0]
    small = Image.fromarray(_to_bytes(x)).resize([int(ratio * pixels) for pixels in size], Image.Resampling.BOX)
    return np.asarray(small.resize(size, Image.Resampling.BOX)) / 255


def _spatter(x, constant, rng):
    """Drops on the lens, where smoothed noise exceeds a threshold. On 32 x 32 pixels that may be nowhere at low severities."""
    mean, deviation, sigma, threshold, strength, mud = constant
    liquid = gaussian_filter(rng.normal(mean, deviation, x.shape[:2]), sigma, mode="nearest")
    return (_mud if mud else _water)(x, np.where(liquid > threshold, liquid, 0), strength)


def _water(x, liquid, strength):
    """Pale light added in the drops, most at their rims.

    This is a stand-in: the original derives the lights from OpenCV's edge detector, distance transform and emboss filter.
    """
    drops = liquid > 0
    if not drops.any():
        return x
    rims = drops & ~binary_erosion(drops)
    light = liquid * gaussian_filter(1 / (1 + distance_transform_edt(~rims)), 1, mode="nearest")
    return x + strength * (light / light.max())[..., None] * WATER


def _mud(x, liquid, sigma):
    """Brown mixed in where the blurred drops cover at least 80 %."""
    cover = gaussian_filter((liquid > 0).astype(float), sigma, mode="nearest")[..., None]
    cover = np.where(cover < 0.8, 0, cover)
    return (1 - cover) * x + cover * MUD


def _contrast(x, factor, rng):
    """Values drawn towards the picture's mean of their channel."""
    mean = x.mean(axis=(0, 1))
    return mean + factor * (x - mean)


def _jpeg_compression(x, quality, rng):
    """Written as JPEG at this quality, then read."""
    file = io.BytesIO()
    Image.fromarray(_to_bytes(x)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


RECIPES = dict(zip(CORRUPTIONS, (_motion_blur, _impulse_noise, _gaussian_noise, _pixelate, _spatter, _contrast,
                                 _jpeg_compression)))
