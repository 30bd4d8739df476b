import subprocess
import sys

import pytest
from consistency.command_line import command
from consistency.models import squares
from helpers import ROOT
from PIL import Image

PREDICTOR = """
import csv, json, sys
import numpy as np
import pycocotools.mask as mask_util
from PIL import Image
sys.path.insert(0, {tests!r})
from consistency.models import answers, bright_things, labels

folder = {folder!r}
manifest = json.load(open(folder + "/manifest.json"))
results, rows = [], []
for crop in manifest["images"]:
    image = np.asarray(Image.open(folder + "/" + crop["file_name"]))
    assert image.shape == (crop["height"], crop["width"], 3)
    (found,) = bright_things([image])
    keys = "boxes", "scores", "classes", "masks"
    for box, score, label, mask in zip(*(found[key] for key in keys)):
        x0, y0, x1, y1 = map(float, box)
        rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
        results.append({{
            "image_id": crop["id"], "category_id": int(label), "score": float(score),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "segmentation": {{"size": rle["size"], "counts": rle["counts"].decode()}},
        }})
    name = crop["file_name"].split("/")[-1]
    Image.fromarray(labels([image])[0].astype(np.uint8)).save(folder + "/labels/" + name)
    rows.append([name, int(answers([image])[0].argmax())])
json.dump(results, open(folder + "/results.json", "w"))
csv.writer(open(folder + "/classes.csv", "w")).writerows([["file_name", "class"], *rows])
"""


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        Image.fromarray(squares(number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def predicted(images, tmp_path_factory):
    """A folder of crops with predictions of all kinds, made without torch and Detectron2."""
    folder = tmp_path_factory.mktemp("exchange") / "crops"
    command(["crops", images, "--output", folder, "--pairs-per-image", 2, "--seed", 3])
    (folder / "labels").mkdir()
    script = PREDICTOR.format(tests=str(ROOT / "tests"), folder=str(folder))
    subprocess.run([sys.executable, "-c", script], check=True)
    return folder
