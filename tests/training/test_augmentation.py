import pytest
import torch

from training.arguments import AugmentationArguments
from training.augmentation import ImageAugmentation

ALL = AugmentationArguments(rotation=10, translation=0.05, scale=0.1, shear=5, brightness=0.2, contrast=0.2)


def test_changes_of_size_zero_leave_the_images_as_they_are():
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(ImageAugmentation(AugmentationArguments())(images), images)


def test_each_image_gets_its_own_change():
    images = torch.rand(1, 1, 32, 32).repeat(4, 1, 1, 1)
    changed = ImageAugmentation(ALL)(images)
    assert changed.shape == images.shape
    assert all(not torch.allclose(changed[0], other) for other in changed[1:])


def test_a_left_side_stays_left():
    images = torch.zeros(64, 1, 32, 32)
    images[..., :8] = 1
    changed = ImageAugmentation(ALL)(images)
    assert (changed[..., :16].mean((1, 2, 3)) > changed[..., 16:].mean((1, 2, 3))).all()


def test_the_seed_decides():
    augment, images = ImageAugmentation(ALL), torch.rand(2, 1, 16, 16)
    torch.manual_seed(3)
    first = augment(images)
    torch.manual_seed(3)
    assert torch.equal(augment(images), first)


@pytest.mark.parametrize("name", ["rotation", "translation", "scale", "shear", "brightness", "contrast"])
def test_each_change_does_something_alone(name: str):
    images = torch.rand(2, 1, 32, 32) * 0.5 + 0.25
    changed = ImageAugmentation(AugmentationArguments(**{name: getattr(ALL, name)}))(images)
    assert not torch.allclose(changed, images, atol=1e-3)


def test_normalised_images_change_as_their_pixels_do():
    arguments, pixels = AugmentationArguments(brightness=0.3, rotation=5), torch.rand(2, 3, 16, 16)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    shift, scale = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    torch.manual_seed(0)
    expected = (ImageAugmentation(arguments)(pixels) - shift) / scale
    torch.manual_seed(0)
    changed = ImageAugmentation(arguments, mean, std)((pixels - shift) / scale)
    torch.testing.assert_close(changed, expected, atol=1e-4, rtol=1e-4)
