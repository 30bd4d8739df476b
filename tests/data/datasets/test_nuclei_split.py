"""Groups on images that are made for the purpose."""

import numpy as np
import pytest
from PIL import Image

from aa_detectron.data.datasets.nuclei_split import (
    Look,
    are_near_duplicates,
    choose_groups,
    group_numbers,
    is_bright,
    look_of,
    split_nuclei,
)


def noise(seed, size=(48, 48)):
    """Blobs that are unlike those of another seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return np.kron(coarse, np.ones((4, 4, 1), np.uint8))


def are_together(first, second):
    found = are_near_duplicates(look_of(first), look_of(second))
    assert found == are_near_duplicates(look_of(second), look_of(first))
    return found


def test_tiles_of_one_field_are_together():
    field = noise(0, (96, 98))
    # Neighboring columns are equal but for every fourth, as in real images.
    assert are_together(field[:48, :46], field[:48, 46:92])
    assert are_together(field[:46, :48], field[46:92, :48])
    assert not are_together(field[:48, :46], field[48:, 46:92])


def test_copies_are_together_brighter_or_not():
    image = noise(1)
    assert are_together(image, image)
    assert are_together(image, image // 2 + 10)
    assert not are_together(image, noise(2))


def test_equal_colors_are_together():
    image = noise(3)
    mixed = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape)
    assert are_together(image, mixed)


def test_other_sizes_are_apart():
    assert not are_together(noise(4), noise(4)[:40])


def test_constant_images_have_no_correlation():
    dark, bright = np.full((8, 8, 3), 9, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    assert not are_together(dark, bright)
    assert not is_bright([look_of(dark)]) and is_bright([look_of(bright)])


def test_chains_are_one_group():
    field = noise(5, (48, 180))
    tiles = [field[:, i * 45 : (i + 1) * 45] for i in range(4)]
    groups = group_numbers([look_of(image) for image in [*tiles, noise(6)[:, :45]]])
    assert len(set(groups[:4])) == 1 and groups[4] != groups[0]


def plain_look(level):
    zeros = np.zeros(4)
    return Look((4, 4), np.full(6, float(level)), (zeros,) * 4, zeros)


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_each_kind_by_whole_groups(seed):
    looks = [plain_look(20)] * 40 + [plain_look(200)] * 20
    groups = np.repeat(np.arange(30), 2)
    chosen = np.array(choose_groups(looks, groups, seed, 0.2))
    assert chosen[:40].sum() == 8 and chosen[40:].sum() == 4
    for group in range(30):
        assert len(set(chosen[groups == group])) == 1


def test_groups_that_are_too_large_are_for_training():
    looks = [plain_look(20)] * 20
    groups = np.array([0] * 10 + list(range(1, 11)))
    assert not any(choose_groups(looks, groups, 0, 0.2)[:10])


def test_split_follows_from_images_and_seed(tmp_path):
    for number in range(20):
        folder = tmp_path / f"{number:02}" / "images"
        folder.mkdir(parents=True)
        Image.fromarray(noise(number)).save(folder / f"{number:02}.png")
    (tmp_path / ".DS_Store").touch()
    first = split_nuclei(str(tmp_path))
    assert first == split_nuclei(str(tmp_path)) and list(map(len, first)) == [16, 4]
    assert sorted([*first[0], *first[1]]) == [f"{number:02}" for number in range(20)]
    assert any(split_nuclei(str(tmp_path), seed) != first for seed in range(1, 4))
