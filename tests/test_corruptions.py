"""Do the seven corruptions do what their constants say? Each is measured on pictures whose answer is known beforehand."""

import csv

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from mergelib.paths import PAPER
from mergelib.tasks import picture
from mergelib.tasks.corruptions import (
    CONSTANTS,
    CORRUPTIONS,
    MUD,
    condition,
    corrupt,
    corruption_table,
    load_corrupted,
    parse_condition,
)

SEVERITIES = range(1, 6)
DRAWN = [picture(task, "test", index)[0] for task in ("vehicles", "landuse", "aerial", "signs") for index in range(5)]
SPECKLED = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
EVERY = pytest.mark.parametrize("name", CORRUPTIONS)
BOTH = pytest.mark.parametrize("definition", CONSTANTS)
EACH_SEVERITY = pytest.mark.parametrize("severity", SEVERITIES)


def flat(value, size=64):
    """A picture of one grey level."""
    return np.full((size, size, 3), value, np.uint8)


def spoil(pixels, name, severity, definition, seed=0):
    """One picture under one condition."""
    return corrupt(pixels, condition(name, severity, definition), np.random.default_rng(seed))


def damage(name, severity, definition):
    """Mean absolute difference from clean over twenty pictures, grey levels."""
    return np.mean([np.abs(spoil(clean, name, severity, definition, seed).astype(int) - clean).mean()
                    for seed, clean in enumerate(DRAWN)])


# --- all seven

@EVERY
@BOTH
@EACH_SEVERITY
def test_a_corrupted_picture_is_another_picture_of_the_same_kind(name, definition, severity):
    clean = DRAWN[0][:, :28]                                # not square: axes that are mixed up would show
    before = clean.copy()
    result = spoil(clean, name, severity, definition, seed=3)
    assert (result.shape, result.dtype) == (clean.shape, np.uint8)
    assert not np.array_equal(result, before) and np.array_equal(clean, before)
    assert np.array_equal(result, spoil(clean, name, severity, definition, seed=3))


@EVERY
def test_chance_enters_four_of_the_seven(name):
    by_chance = name in ("motion blur", "impulse noise", "gaussian noise", "spatter")
    assert np.array_equal(spoil(DRAWN[0], name, 5, "cifar", 1), spoil(DRAWN[0], name, 5, "cifar", 2)) != by_chance


@EVERY
@BOTH
def test_damage_grows_with_severity(name, definition):
    # Two severities may share a constant that matters (motion blur 3 and 4 of CIFAR-10-C differ in the radius alone, where
    # the weights have fallen to 1e-8): equal up to the rounding of few values, so 0.01 grey levels. Water and mud do not
    # form one scale.
    levels = [damage(name, severity, definition) for severity in SEVERITIES]
    for scale in (levels[:3], levels[3:]) if name == "spatter" else (levels,):
        assert min(np.diff(scale)) > -0.01 and scale[-1] > 1.1 * scale[0]


@EVERY
def test_the_worst_of_imagenet_is_worse_than_the_worst_of_cifar(name):
    assert damage(name, 5, "imagenet") > damage(name, 5, "cifar")


# --- each by its constant

@BOTH
@EACH_SEVERITY
def test_gaussian_noise_has_its_standard_deviation(definition, severity):
    sigma = CONSTANTS[definition]["gaussian noise"][severity - 1]
    values = np.clip(128 / 255 + sigma * norm.ppf((np.arange(9999) + 0.5) / 9999), 0, 1) * 255      # normal, clipped
    # 12288 values: the deviation is estimated to 0.64 %, so 3 % is more than four of its standard errors
    assert spoil(flat(128), "gaussian noise", severity, definition).std() == pytest.approx(values.std(), rel=0.03)


@BOTH
@EACH_SEVERITY
def test_impulse_noise_sets_its_fraction_of_the_values_to_black_or_white(definition, severity):
    fraction = CONSTANTS[definition]["impulse noise"][severity - 1]
    result = spoil(flat(128), "impulse noise", severity, definition)
    assert set(np.unique(result)) == {0, 128, 255}
    assert (result[..., 0] != result[..., 1]).any()           # channels are hit one by one
    error = 5 * (fraction / 2 / result.size) ** 0.5           # five standard errors of a rare count
    assert (result == 0).mean() == pytest.approx(fraction / 2, abs=error)
    assert (result == 255).mean() == pytest.approx(fraction / 2, abs=error)


@BOTH
@EACH_SEVERITY
def test_contrast_shrinks_the_spread_around_the_mean_of_each_channel(definition, severity):
    clean = (SPECKLED * [1, 0.5, 0.9]).astype(np.uint8)
    result = spoil(clean, "contrast", severity, definition)
    factor = CONSTANTS[definition]["contrast"][severity - 1]
    # Rounding adds a variance of 1/12 to the least one, (0.05 x 37)^2 = 3.4: 1.2 % of the deviation. A factor of 1/2
    # leaves two fractions of a grey level, which rounding may shift by 1/4 on average.
    assert result.std(axis=(0, 1)) == pytest.approx(factor * clean.std(axis=(0, 1)), rel=0.03)
    assert result.mean(axis=(0, 1)) == pytest.approx(clean.mean(axis=(0, 1)), abs=0.3)


@BOTH
@EACH_SEVERITY
def test_pixelate_leaves_as_many_pixels_as_its_ratio_says(definition, severity):
    result = spoil(SPECKLED, "pixelate", severity, definition)
    left = int(32 * CONSTANTS[definition]["pixelate"][severity - 1])
    assert np.unique(result, axis=0).shape[0] == np.unique(result, axis=1).shape[1] == left


def test_pixelate_at_half_size_gives_the_mean_of_four_pixels():
    result = spoil(SPECKLED, "pixelate", 2, "imagenet").astype(float)
    means = SPECKLED.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(result - means).max() <= 1                  # Pillow rounds after each of its two passes


@BOTH
@EACH_SEVERITY
def test_motion_blur_leaves_a_flat_picture_alone(definition, severity):
    assert np.array_equal(spoil(flat(77), "motion blur", severity, definition), flat(77))


@pytest.mark.parametrize("seed", range(8))
def test_motion_blur_draws_a_straight_trail_and_loses_no_light(seed):
    clean = flat(0, 65)
    clean[30:35, 30:35] = 255
    light = spoil(clean, "motion blur", 5, "cifar", seed)[..., 0] / (25 * 255)
    assert light.sum() == pytest.approx(1, abs=0.007)         # half a grey level on each of the 85 pixels touched
    at = np.indices((65, 65)) - 32.0
    centre = (light * at).sum(axis=(1, 2)) / light.sum()
    angle = np.arctan2(*centre)
    assert abs(np.degrees(angle)) < 45.5                      # rounding turns the trail by less than half a degree
    half = np.exp(-(np.arange(19) / 2.5) ** 2 / 2)            # the weights of radius 9, deviation 2.5: 1.70 steps on average
    assert np.hypot(*centre) == pytest.approx(np.average(np.arange(19), weights=half), abs=0.03)
    across = at[0] * np.cos(angle) - at[1] * np.sin(angle)
    assert (light * across ** 2).sum() < 2.5                  # the square itself has 2.0, shifts between pixels add up to 0.4


def test_motion_blur_turns_by_chance_to_both_sides():
    dot = flat(0, 33)
    dot[16, 16] = 255
    trails = [spoil(dot, "motion blur", 5, "cifar", seed)[..., 0] for seed in range(8)]
    sides = [np.sign(trail[17:].sum(dtype=int) - trail[:16].sum(dtype=int)) for trail in trails]      # below less above
    assert {-1, 1} <= set(sides)


@BOTH
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_covers_the_area_that_its_constants_imply(definition, severity):
    mean, deviation, sigma, threshold, _, mud = CONSTANTS[definition]["spatter"][severity - 1]
    point = np.zeros((65, 65))
    point[32, 32] = deviation
    smooth = np.sqrt((gaussian_filter(point, sigma) ** 2).sum())
    # 400 x 400 pixels of a correlation length of 4 at most: some 800 independent places, of which 3 % are wet: 25 +- 5
    wet = (spoil(flat(100, 400), "spatter", severity, definition) != 100).any(axis=2).mean()
    assert mud == 0 and wet == pytest.approx(norm.sf((threshold - mean) / smooth), rel=0.4)


@BOTH
@EACH_SEVERITY
def test_spatter_changes_the_drops_and_nothing_else(definition, severity):
    # Where the drops lie does not depend on the picture, so two grey levels must show the same ones
    one, other = (spoil(flat(value), "spatter", severity, definition).astype(int) - value for value in (120, 160))
    drops = (one != 0).any(axis=2)
    assert 0 < drops.mean() < 0.6 and np.array_equal(drops, (other != 0).any(axis=2))
    mud = severity > 3
    assert (one[drops] < 0).all() if mud else (one[drops] >= 0).all()      # mud is darker than either, water adds light
    redness = one[drops][:, 0] - one[drops][:, 2]
    assert (redness > 0).all() if mud else (redness <= 0).all()            # brown against pale blue


def test_the_middle_of_a_large_stain_is_mud():
    result = spoil(flat(200, 100), "spatter", 5, "imagenet")
    assert np.abs(result - MUD * 255).sum(axis=2).min() < 3                # rounding: half a grey level in each channel


def test_a_picture_without_drops_stays_clean():
    # 4 x 4 pixels are one place for drops of 4 pixels, and nine places in ten are dry
    results = [spoil(flat(100, 4), "spatter", 1, "imagenet", seed) for seed in range(20)]
    dry = [np.array_equal(result, flat(100, 4)) for result in results]
    assert any(dry) and not all(dry)


def test_jpeg_keeps_a_flat_picture_and_loses_fine_colour_first():
    assert np.abs(spoil(flat(128), "jpeg compression", 5, "imagenet").astype(int) - 128).max() <= 1
    grey = SPECKLED[..., :1].repeat(3, axis=2)
    coloured, plain = (np.abs(spoil(clean, "jpeg compression", 1, "cifar").astype(int) - clean).mean()
                       for clean in (SPECKLED, grey))
    assert coloured > 2 * plain


# --- names

def test_the_seven_are_those_of_the_published_tables_in_their_order():
    with open(PAPER / "adamerging_table4_robustness_vit_b32.csv", newline="") as file:
        settings = dict.fromkeys(row["setting"] for row in csv.DictReader(file))
    assert tuple(settings) == ("clean", *CORRUPTIONS)


def test_the_table_shows_all_constants():
    table = corruption_table().set_index(["definition", "corruption"])
    assert len(table) == 14 and table["constant"].str.len().min() > 0
    assert table.loc[("imagenet", "gaussian noise"), 5] == 0.38 and table.loc[("cifar", "motion blur"), 4] == (8, 2)


@EVERY
@BOTH
@EACH_SEVERITY
def test_a_condition_can_be_read_back(name, definition, severity):
    assert parse_condition(condition(name, severity, definition)) == (name, severity, definition)


def test_how_a_condition_is_written():
    assert condition("motion blur", 3) == "motion blur 3 cifar"
    assert condition("pixelate", np.int64(5), "imagenet") == "pixelate 5 imagenet"


@pytest.mark.parametrize("what, message", [
    (("fog", 1), "no corruption 'fog'.*motion blur.*jpeg compression"), (("contrast", 0), "no severity 0.*1, 2, 3, 4, 5"),
    (("contrast", 6), "no severity 6"), (("contrast", 2.5), "no severity 2.5"),
    (("contrast", 1, "tiny"), "no definition 'tiny'.*cifar, imagenet")])
def test_an_unknown_condition_is_refused_with_the_choices(what, message):
    with pytest.raises(ValueError, match=message):
        condition(*what)


@pytest.mark.parametrize("text", ["clean", "", "contrast", "contrast cifar", "contrast x cifar", "contrast 03 cifar",
                                  "contrast -1 cifar", "contrast 3  cifar", "3 cifar", "contrast 3 cifar "])
def test_a_malformed_condition_is_refused_with_an_example(text):
    for read in (parse_condition, lambda text: corrupt(DRAWN[0], text, None),
                 lambda text: load_corrupted("dice", "test", text)):
        with pytest.raises(ValueError, match="is no condition.*'motion blur 3 cifar'.*pixelate.*1 to 5.*cifar, imagenet"):
            read(text)


@pytest.mark.parametrize("text", ["fog 3 cifar", "contrast 6 cifar", "contrast 3 tiny"])
def test_a_condition_with_an_unknown_part_is_refused_with_the_choices(text):
    with pytest.raises(ValueError, match="There is no .* Choose one of"):
        parse_condition(text)


@pytest.mark.parametrize("pixels", [SPECKLED / 255, SPECKLED[..., 0], SPECKLED[None], SPECKLED[..., :2]])
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match="uint8 H x W x 3, but found (float64|uint8) of shape"):
        spoil(pixels, "contrast", 1, "cifar")
