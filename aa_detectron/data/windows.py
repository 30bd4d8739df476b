"""Loader of the windows for worst-shift AP; one process loads all windows of an image."""

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.data.samplers import InferenceSampler

from aa_detectron.config import check_has_keys
from aa_detectron.consistency.shifts import MARGIN, crop_size, window_offsets
from aa_detectron.errors import InputError

from .images import image_size, read_image
from .pairs import NEEDED, CropMapper, flatten_pairs, get_image_dicts


class ShiftedWindowMapper(CropMapper):
    """Cuts one window of an image.

    A call takes {"file_name", "image_id", "window": {"number", "count", "offset", "image_size"}}
    and returns a dict in the model's input format, with "height" and "width" of the window.
    """

    def __call__(self, dataset_dict: dict) -> dict:
        image = read_image(dataset_dict, self.image_format)
        window = dataset_dict["window"]
        height, width = window["image_size"]
        size = crop_size(height, width, MARGIN)
        return self.cut(dataset_dict, image, window["offset"], size) | {"window": window}


def list_windows(image: dict) -> list[dict]:
    """Dataset dicts of all windows of an image; "number" 0 is the center, which is not shifted.

    Raises:
        InputError: the image cannot be read, or is too small.
    """
    size = (image["height"], image["width"]) if "height" in image else None
    size = size or image_size(image["file_name"])
    try:
        offsets = window_offsets(*size)
    except ValueError as error:
        raise InputError(f"{image['file_name']}: {error}") from None
    kept = {key: image[key] for key in NEEDED if key in image}
    common = {"count": len(offsets), "image_size": size}
    return [
        kept | {"window": common | {"number": number, "offset": offset}}
        for number, offset in enumerate(offsets)
    ]


def build_shifted_window_loader(cfg: CfgNode, name: str) -> torch.utils.data.DataLoader:
    """Builds the :func:`make_window_loader` of a config."""
    check_has_keys(cfg)
    return make_window_loader(
        name,
        ShiftedWindowMapper(cfg),
        pairs_per_batch=cfg.TEST.CONSISTENCY.PAIRS_PER_BATCH,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def make_window_loader(
    name: str, mapper: ShiftedWindowMapper, *, pairs_per_batch: int = 1, num_workers: int = 0
) -> torch.utils.data.DataLoader:
    """Makes a test loader of all windows of a dataset's images.

    Args:
        name: name of a registered dataset.
        mapper: mapper of windows.
        pairs_per_batch: half the number of windows per batch.
        num_workers: number of processes that read images; 0 for this process.
    """
    images = [list_windows(image) for image in get_image_dicts(name)]
    begins = np.cumsum([0] + [len(windows) for windows in images])
    mine = [i for k in InferenceSampler(len(images)) for i in range(begins[k], begins[k + 1])]
    return build_detection_test_loader(
        flatten_pairs(images),
        mapper=mapper,
        sampler=mine,
        batch_size=2 * pairs_per_batch,
        num_workers=num_workers,
    )
