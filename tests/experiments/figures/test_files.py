"""The figures of models, from files to files."""

import json

import numpy as np
import pytest
import torch
from helpers import CONFIGS, DEMO_CONFIG, make_small_shapes, small_config, small_options
from PIL import Image

from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.errors import InputError, InvalidOption
from aa_detectron.experiments.figures.files import (
    cut_windows,
    find_images,
    load_model,
    plot_aliasing,
    plot_groups,
    plot_variance,
    plot_window,
)

CLASSIFIER = CONFIGS / "Shapes-Classification" / "resnet_R_18_adaptive.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images and the checkpoint of a detector that has seen nothing."""
    folder = tmp_path_factory.mktemp("figures")
    make_small_shapes(folder, train=1, val=2)
    model = Trainer.build_model(small_config(folder))
    AACheckpointer(model, str(folder)).save("model")
    return folder


@pytest.fixture(scope="module")
def detector(folder):
    opts = [*small_options(folder), "TEST.DETECTIONS_PER_IMAGE", "4"]
    return load_model(str(DEMO_CONFIG), str(folder / "model.pth"), opts)


@pytest.fixture(scope="module")
def files(folder):
    return find_images(sorted(map(str, (folder / "shapes" / "val").iterdir())))


def written(paths, folder):
    """The files' names; all are there, and nothing else."""
    names = {path.name for path in folder.iterdir()}
    assert {str(folder / name) for name in names} == set(paths)
    return names


def test_variance(detector, files, tmp_path):
    names = written(plot_variance({"a": detector}, files, str(tmp_path)), tmp_path)
    assert names == {"variance.json", *(f"variance_{stem}.png" for stem in files)}
    found = json.loads((tmp_path / "variance.json").read_text())
    stem = next(iter(files))
    assert list(found[stem]["a"])[:3] == ["stem", "res3", "res3 shortcut"]
    # The filters have not left the blur that they start with.
    for place in found[stem]["a"].values():
        assert place["mean"] == pytest.approx(place["binomial"], rel=1e-4)


def test_groups(detector, files, tmp_path):
    names = written(plot_groups({"a": detector}, files, str(tmp_path)), tmp_path)
    assert names == {"groups.json", "groups.png"}
    found = json.loads((tmp_path / "groups.json").read_text())["a"]
    assert found["stem"]["groups"] == 8 and -1 <= found["stem"]["within"] <= 1


def test_window_of_a_detector(detector, files, tmp_path):
    models, (stem, path) = {"a": detector, "b": detector}, next(iter(files.items()))
    names = written(plot_window(models, {stem: path}, str(tmp_path)), tmp_path)
    assert names == {f"window_{stem}.png", f"window_{stem}.gif", "window.json"}
    found = json.loads((tmp_path / "window.json").read_text())[stem]
    assert found["offsets"] == [[8, x] for x in range(17)]
    assert found["models"]["a"] == found["models"]["b"]
    assert len(found["models"]["a"]["positions"]) == 17


def test_windows_of_a_detector_are_parts_of_the_image(detector, files):
    path = next(iter(files.values()))
    detector.cfg.defrost()
    detector.cfg.INPUT.MIN_SIZE_TEST = 48
    windows = cut_windows(detector.cfg, path)
    image = np.asarray(Image.open(path))
    assert np.array_equal(windows.image, image)
    for (y, x), item in zip(windows.offsets, windows.items, strict=True):
        assert (item["height"], item["width"]) == (48, 48)
        pixels = item["image"].numpy().transpose(1, 2, 0)
        assert np.array_equal(pixels, image[y : y + 48, x : x + 48])


@pytest.fixture(scope="module")
def classifier(folder):
    opts = [
        "INPUT.CLASSIFIER.TRAIN_SIZE", "32",
        "INPUT.CLASSIFIER.TEST_RESIZE", "40",
        "INPUT.CLASSIFIER.TEST_SIZE", "32",
    ]  # fmt: skip
    weights = folder / "classifier"
    trained = small_config(folder)
    trained.merge_from_file(str(CLASSIFIER))
    model = Trainer.build_model(trained)
    AACheckpointer(model, str(folder)).save(weights.name)
    return load_model(str(CLASSIFIER), f"{weights}.pth", opts)


def test_window_of_a_classifier(classifier, files, tmp_path):
    names = written(plot_window({"a": classifier}, files, str(tmp_path)), tmp_path)
    assert names == {"window.json", *(f"window_{stem}.png" for stem in files)}
    found = next(iter(json.loads((tmp_path / "window.json").read_text()).values()))
    assert found["offsets"] == [[4, x] for x in range(9)]
    windows = cut_windows(classifier.cfg, next(iter(files.values())))
    with torch.no_grad():
        logits = classifier.model([windows.items[5]])[0]["logits"]
    expected = float(logits.softmax(0)[found["class"]])
    assert found["models"]["a"]["probability"][5] == pytest.approx(expected, abs=1e-5)


def test_models_that_cannot_be_compared(detector, classifier, files, tmp_path):
    with pytest.raises(InputError, match="b: its windows are not those of a"):
        plot_window({"a": detector, "b": classifier}, files, str(tmp_path))


def test_model_without_filters(folder, files, tmp_path):
    opts = [*small_options(folder), "MODEL.ANTIALIAS.NAME", "blur"]
    cfg = small_config(folder, *opts)
    AACheckpointer(Trainer.build_model(cfg), str(folder)).save("blur")
    model = load_model(str(DEMO_CONFIG), str(folder / "blur.pth"), opts)
    for plot in (plot_variance, plot_groups):
        with pytest.raises(InputError, match="blur: has no adaptive filters"):
            plot({"blur": model}, files, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_aliasing(files, tmp_path):
    path = next(iter(files.values()))
    paths = plot_aliasing({"a": path}, str(tmp_path), 0.1)
    assert written(paths, tmp_path) == {"aliasing_a.png", "aliasing.json"}
    psnr = json.loads((tmp_path / "aliasing.json").read_text())["a"]["psnr"]
    assert psnr["none"] < psnr["gaussian"]
    with pytest.raises(InvalidOption, match="noise is -1, but must be 0 or more"):
        plot_aliasing({"a": path}, str(tmp_path), -1)


def test_images(tmp_path):
    files = find_images(["coffee", "astronaut"])
    assert list(files) == ["coffee", "astronaut"]
    for path in files.values():
        assert Image.open(path).mode == "RGB"
    for name in ("coffee.png", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="b.jpg: is neither a file nor a photograph"):
        find_images([str(tmp_path / "b.jpg")])
    with pytest.raises(InputError, match="would have the names of those of .*skimage"):
        find_images(["coffee", str(tmp_path / "coffee.png")])
    with pytest.raises(InputError, match="b.png: cannot be read as an image"):
        plot_aliasing(find_images([str(tmp_path / "b.png")]), str(tmp_path), 0.1)
