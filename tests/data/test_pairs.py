import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.pairs import build_shifted_pair_loader, get_image_dicts
from aa_detectron.errors import InputError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "sub").mkdir()
    for name, size in (("a.png", (48, 64)), ("b.png", (48, 64)), ("sub/c.png", (40, 60))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def config(**consistency):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.MIN_SIZE_TEST = 0  # no resize
    cfg.INPUT.FORMAT = "RGB"
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.update(consistency)
    return cfg


def crops(cfg, folder):
    return [crop for batch in build_shifted_pair_loader(cfg, str(folder)) for crop in batch]


def test_crops_are_the_pixels_at_the_offsets(folder):
    found = crops(config(MAX_SHIFT=8), folder)
    assert [c["image_id"] for c in found] == ["a.png"] * 2 + ["b.png"] * 2 + ["sub/c.png"] * 2
    for i, crop in enumerate(found):
        image = np.asarray(Image.open(folder / crop["image_id"]))
        y, x = crop["pair"]["offsets"][i % 2]
        height, width = image.shape[0] - 8, image.shape[1] - 8
        assert (crop["height"], crop["width"], crop["pair"]["first"]) == (height, width, i % 2 == 0)
        expected = image[y : y + height, x : x + width].transpose(2, 0, 1)
        assert np.array_equal(crop["image"].numpy(), expected)


def test_resized_like_in_testing(folder):
    cfg = config(MAX_SHIFT=8)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 80, 1000
    crop = crops(cfg, folder)[0]
    assert crop["image"].shape == (3, 80, 112)
    assert (crop["height"], crop["width"]) == (40, 56)


def test_pairs_do_not_depend_on_workers_or_batches(folder):
    expected = crops(config(PAIRS_PER_IMAGE=3), folder)
    assert len(expected) == 18
    for workers, batch in ((0, 2), (2, 1), (2, 4)):
        cfg = config(PAIRS_PER_IMAGE=3, PAIRS_PER_BATCH=batch)
        cfg.DATALOADER.NUM_WORKERS = workers
        torch.manual_seed(workers)
        np.random.seed(batch)
        found = crops(cfg, folder)
        assert [c["pair"] for c in found] == [c["pair"] for c in expected]
        assert all(
            torch.equal(a["image"], b["image"]) for a, b in zip(found, expected, strict=True)
        )


def test_pairs_of_an_image_do_not_depend_on_the_others(folder):
    before = [c["pair"] for c in crops(config(), folder) if c["image_id"] == "b.png"]
    (folder / "a.png").unlink()
    assert [c["pair"] for c in crops(config(), folder) if c["image_id"] == "b.png"] == before


def test_seed(folder):
    first, second = (crops(config(SEED=seed), folder)[0]["pair"] for seed in (0, 1))
    assert first != second


def test_neither_dataset_nor_folder():
    with pytest.raises(InputError, match="TEST.CONSISTENCY.DATASETS: 'nowhere' is neither"):
        get_image_dicts("nowhere")


def test_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="no images there"):
        get_image_dicts(str(tmp_path))


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image(folder, workers):
    content = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(content[: len(content) // 2])
    cfg = config(STRICT=True)
    cfg.DATALOADER.NUM_WORKERS = workers
    with pytest.raises(InputError) as caught:
        crops(cfg, folder)
    message = str(caught.value)
    assert message.startswith(str(folder / "b.png")) and "cannot be read" in message
    assert "\n" not in message


def test_tiny_image(tmp_path):
    Image.new("RGB", (90, 3)).save(tmp_path / "flat.png")
    with pytest.raises(InputError, match="flat.png: 3x90 pixels leave no room"):
        crops(config(), tmp_path)


def test_images_with_one_id(folder):
    files = [str(file) for file in sorted(folder.iterdir())][:2]
    for ids in ((0, 0), (1, "1"), (np.int64(2), 2)):
        images = [{"file_name": f, "image_id": i} for f, i in zip(files, ids, strict=True)]
        DatasetCatalog.register("tests_of_ids", lambda images=images: images)
        message = f"tests_of_ids: image_id {ids[0]} belongs to {files[0]} and {files[1]}"
        with pytest.raises(InputError, match=message):
            get_image_dicts("tests_of_ids")
        DatasetCatalog.remove("tests_of_ids")
