"""Corruptions: what each does to the pixels, at its documented size, and what it hangs on."""

import io

import numpy as np
import pytest
from PIL import Image

from evaluate_suite.corruptions import CORRUPTIONS, SEVERITIES, corrupt, size_label

CONDITIONS = [(corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES]


def radiograph(mode: str = "L") -> Image.Image:
    """A bright disc with stripes on a dark ground, 80 x 60 pixels."""
    y, x = np.mgrid[:60, :80]
    disc = (x - 40) ** 2 + (y - 30) ** 2 < 20**2
    return Image.fromarray((40 + 120 * disc + 30 * (x // 8 % 2)).astype(np.uint8)).convert(mode)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("corruption", "severity"), CONDITIONS)
def test_size_and_mode_are_kept_and_the_image_itself_too(corruption: str, severity: int, mode: str) -> None:
    image = radiograph(mode)
    spoilt = corrupt(image, corruption, severity, image_id="a")
    assert (spoilt.size, spoilt.mode) == (image.size, mode)
    assert (pixels(spoilt) != pixels(image)).any()
    assert (pixels(image) == pixels(radiograph(mode))).all()


@pytest.mark.parametrize(("corruption", "severity"), CONDITIONS)
def test_a_grey_image_is_spoilt_alike_in_colour(corruption: str, severity: int) -> None:
    grey = corrupt(radiograph("L"), corruption, severity, image_id="a")
    colour = corrupt(radiograph("RGB"), corruption, severity, image_id="a")
    assert np.abs(pixels(grey)[:, :, None] - pixels(colour)).max() <= 2  # JPEG rounds colours by itself


@pytest.mark.parametrize("corruption", list(CORRUPTIONS))
def test_a_higher_severity_takes_the_image_further_away(corruption: str) -> None:
    image = pixels(radiograph())
    errors = [np.abs(pixels(corrupt(radiograph(), corruption, s, image_id="a")) - image).mean() for s in SEVERITIES]
    assert errors == sorted(errors)
    assert len(set(errors)) == len(errors)


def test_what_is_drawn_hangs_on_seed_image_corruption_and_severity_alone() -> None:
    image = Image.new("L", (40, 40), 128)

    def noise(image_id: str = "a", severity: int = 1, seed: int = 0) -> np.ndarray:
        return (pixels(corrupt(image, "noise", severity, image_id=image_id, seed=seed)) - 128) / severity

    first = noise()
    others = [noise(image_id="b"), noise(severity=2), noise(seed=1)]
    np.testing.assert_array_equal(noise(), first)
    for other in others:
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


def test_keys_that_read_alike_when_joined_are_told_apart() -> None:
    image = Image.new("L", (40, 40), 128)
    left = corrupt(image, "noise", 1, image_id="1a", seed=1)
    right = corrupt(image, "noise", 1, image_id="a", seed=11)
    assert (pixels(left) != pixels(right)).any()


@pytest.mark.parametrize(("severity", "deviation"), [(1, 5.1), (2, 12.75), (3, 25.5)])
def test_noise_has_the_documented_deviation_in_grey_levels(severity: int, deviation: float) -> None:
    noise = pixels(corrupt(Image.new("L", (200, 200), 128), "noise", severity, image_id="a")) - 128
    assert noise.std() == pytest.approx(deviation, rel=0.03)
    assert abs(noise.mean()) < 0.5


def test_noise_is_cut_off_at_black_and_white_and_does_not_wrap() -> None:
    for level in (0, 255):
        spoilt = pixels(corrupt(Image.new("L", (50, 50), level), "noise", 3, image_id="a"))
        assert np.abs(spoilt - level).max() < 150


@pytest.mark.parametrize(("severity", "deviation"), [(2, 2.0), (3, 4.0)])
def test_blur_spreads_a_point_by_the_documented_share_of_the_shorter_side(severity: int, deviation: float) -> None:
    image = Image.new("L", (300, 200), 0)
    image.paste(255, (140, 0, 160, 200))  # a bar, for a point would fall below one grey level
    profile = pixels(corrupt(image, "blur", severity, image_id="a"))[100]
    edge = np.diff(profile[:150])  # the derivative of a blurred edge is the kernel
    place = np.arange(len(edge))
    centre = (edge * place).sum() / edge.sum()
    assert np.sqrt((edge * (place - centre) ** 2).sum() / edge.sum()) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize(("severity", "factor"), [(1, 0.75), (2, 0.5), (3, 0.25)])
def test_contrast_is_multiplied_about_the_mean(severity: int, factor: float) -> None:
    image = pixels(radiograph())
    spoilt = pixels(corrupt(radiograph(), "contrast", severity, image_id="a"))
    assert np.abs(spoilt - (image.mean() + factor * (image - image.mean()))).max() <= 0.5 + 1e-9


def test_contrast_keeps_the_hue() -> None:
    image = Image.merge("RGB", [Image.new("L", (10, 10), level) for level in (200, 100, 50)])
    red, green, blue = pixels(corrupt(image, "contrast", 2, image_id="a"))[0, 0]
    assert (red - green, green - blue) == pytest.approx((50, 25), abs=1)


@pytest.mark.parametrize(("severity", "degrees"), [(1, 2), (2, 5), (3, 10)])
def test_rotation_is_about_the_centre_by_the_documented_angle_to_either_side(severity: int, degrees: int) -> None:
    image = Image.new("L", (101, 101), 0)
    image.paste(255, (80, 50, 82, 51))
    angles = []
    for number in range(8):
        spoilt = pixels(corrupt(image, "rotation", severity, image_id=f"image-{number}"))
        y, x = (np.average(axis, weights=spoilt) for axis in np.mgrid[:101, :101])
        angles.append(round(np.degrees(np.arctan2(50 - y, x - 50))))
    assert set(angles) == {degrees, -degrees}


@pytest.mark.parametrize(("severity", "quality"), [(1, 50), (2, 20), (3, 8)])
def test_jpeg_is_pillow_s_at_the_documented_quality(severity: int, quality: int) -> None:
    file = io.BytesIO()
    radiograph().save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(
        pixels(corrupt(radiograph(), "jpeg", severity, image_id="a")), pixels(Image.open(file))
    )


def test_sizes_are_told_in_words() -> None:
    assert [size_label(corruption, 2) for corruption in CORRUPTIONS] == [
        "noise of 5% of full scale",
        "blur of 1.0% of the side",
        "contrast x 0.5",
        "rotation by 5 degrees",
        "JPEG quality 20",
    ]


@pytest.mark.parametrize(
    ("image", "corruption", "severity", "message"),
    [
        (Image.new("L", (8, 8)), "fog", 1, "corruption 'fog' is none of noise, blur, contrast, rotation, jpeg"),
        (Image.new("L", (8, 8)), "blur", 4, "severity 4 is none of 1, 2, 3"),
        (Image.new("RGBA", (8, 8)), "blur", 1, "image 'a' has mode RGBA: convert it to one of L, RGB"),
    ],
)
def test_what_cannot_be_spoilt_is_named(image: Image.Image, corruption: str, severity: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupt(image, corruption, severity, image_id="a")
