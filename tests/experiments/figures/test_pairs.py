import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets.shapes.geometry import CLASSES
from aa_detectron.data.pairs import get_image_dicts
from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.pairs import choose_records, draw_pairs


def test_choice_runs_from_worst_to_best():
    def record(number, *ious):
        side = [{"iou": iou} for iou in ious]
        return {"image_id": number, "segm": {"first": side, "second": []}}

    records = [record(0, 1.0), record(1), record(2, 0.0, 1.0), record(3, 0.0), record(4, 0.95)]
    assert [r["image_id"] for r in choose_records(records, 3)] == [3, 0, 4]
    assert choose_records(records[1:2], 3) == []


def test_pictures_have_names_of_their_own(monkeypatch, detector, tmp_path):
    cfg, model = detector
    images = get_image_dicts("shapes_val")[:2]
    ids = ["a/b.png", "a_b.png"]
    renamed = [image | {"image_id": i} for image, i in zip(images, ids, strict=True)]
    DatasetCatalog.register("renamed", lambda: renamed)
    MetadataCatalog.get("renamed").set(thing_classes=list(CLASSES), evaluator_type="coco")
    try:
        records = [{"image_id": i, "pair": 0, "segm": {}} for i in ids]
        paths = draw_pairs(cfg, model, "renamed", records, tmp_path)
    finally:
        DatasetCatalog.remove("renamed")
        MetadataCatalog.remove("renamed")
    assert len(set(paths)) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "changed, text",
    [
        ({"image_id": 999}, "shapes_val: has no image 999"),
        ({"pair": 3}, "image 1: has a record of pair 3, but TEST.CONSISTENCY.PAIRS_PER_IMAGE is 1"),
    ],
)
def test_records_of_other_data_are_rejected(detector, tmp_path, changed, text):
    record = {"image_id": 1, "pair": 0, "segm": {}} | changed
    with pytest.raises(InputError, match=text):
        draw_pairs(*detector, "shapes_val", [record], tmp_path)
