"""Small COCO data sets, well-formed and malformed, for tests of what users' files lead to."""

import json
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import default_argument_parser
from helpers import DEMO_CONFIG, small_options
from PIL import Image

from aa_detectron.engine import launch

SIDE = 64
NAME = "users_coco"


def make_coco(folder: Path, images: int = 3, classes: tuple[str, ...] = ("a", "b")) -> dict:
    """Images of 64 x 64 with two rectangles each; returns the JSON that describes them."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": n} for i, n in enumerate(classes, 1)]
    for i in range(1, images + 1):
        pixels = np.full((SIDE, SIDE, 3), 60, np.uint8)
        for number, (top, color) in enumerate([(2, (220, 40, 40)), (34, (40, 40, 220))]):
            x, w, h = (int(v) for v in rng.integers((2, 14, 14), (20, 28, 28)))
            pixels[top : top + h, x : x + w] = color
            polygon = [x, top, x + w, top, x + w, top + h, x, top + h]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": i,
                    "category_id": number % len(classes) + 1,
                    "bbox": [x, top, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [polygon],
                }
            )
        Image.fromarray(pixels).save(folder / f"{i}.png")
        size = {"height": SIDE, "width": SIDE}
        content["images"].append({"id": i, "file_name": f"{i}.png"} | size)
    return content


def register(folder: Path, content, name: str = NAME, **metadata) -> Path:
    """Writes the JSON (or a text as it is) and registers it, as a user would."""
    path = folder / f"{name}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    forget(name)
    register_coco_instances(name, metadata, str(path), str(folder))
    return path


def forget(*names: str) -> None:
    for name in names:
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog.list():
                catalog.remove(name)


def train_net(output: Path, *options: str, eval_only: bool = False) -> dict | None:
    """What tools/train_net.py does with the demo's Mask R-CNN, for data of two classes."""
    flags = ["--config-file", str(DEMO_CONFIG), *["--eval-only"] * eval_only]
    opts = ["MODEL.ROI_HEADS.NUM_CLASSES", "2", *small_options(output), *options]
    return launch.main(default_argument_parser().parse_args([*flags, *opts]))
