"""Images, a detector and a classifier for the tests that draw files from files."""

from pathlib import Path

import pytest
from helpers import CONFIGS, DEMO_CONFIG, make_small_shapes, small_config, small_options
from torch import nn

from aa_detectron.engine import AACheckpointer, Trainer
from aa_detectron.engine.launch import LoadedModel, load_model
from aa_detectron.experiments.figures.images import find_images
from aa_detectron.layers import AdaptiveBlurPool2d

CLASSIFIER = CONFIGS / "Shapes-Classification" / "resnet_R_18_adaptive.yaml"


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Images and the checkpoint of an untrained detector."""
    folder = tmp_path_factory.mktemp("figures")
    make_small_shapes(folder, train=1, val=2)
    model = Trainer.build_model(small_config(folder))
    AACheckpointer(model, str(folder)).save("model")
    return folder


@pytest.fixture(scope="package")
def detector(folder):
    opts = [*small_options(folder), "TEST.DETECTIONS_PER_IMAGE", "4"]
    return load_model(str(DEMO_CONFIG), str(folder / "model.pth"), opts)


@pytest.fixture(scope="package")
def models_apart(detector):
    """Two models that have no place of filters in common."""
    filters = nn.ModuleDict({"other": AdaptiveBlurPool2d(8, groups=2)})
    return {"a": detector, "b": LoadedModel(detector.cfg, nn.ModuleDict({"backbone": filters}))}


@pytest.fixture(scope="package")
def plain_detector(folder):
    """A detector without adaptive filters."""
    opts = [*small_options(folder), "MODEL.ANTIALIAS.NAME", "blur"]
    AACheckpointer(Trainer.build_model(small_config(folder, *opts)), str(folder)).save("blur")
    return load_model(str(DEMO_CONFIG), str(folder / "blur.pth"), opts)


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def files(folder):
    return find_images(sorted(map(str, (folder / "shapes" / "val").iterdir())))


@pytest.fixture
def written(tmp_path):
    """Checks that exactly these paths are in the test's folder, and returns their names."""

    def names(paths: list[str]) -> set[str]:
        found = {path.name for path in Path(tmp_path).iterdir()}
        assert {str(tmp_path / name) for name in found} == set(paths)
        return found

    return names
