"""Names of classes in the forms in which libraries have them."""

import numpy as np
import pytest
from consistency.models import bright_things, pixels, squares

from aa_detectron.consistency import (
    ConsistencyMetric,
    ConsistencyResult,
    evaluate_consistency,
    evaluate_sweep,
)
from aa_detectron.consistency.class_names import list_names
from aa_detectron.consistency.exchange.record_files import read_report
from aa_detectron.consistency.instances import score_pairs
from aa_detectron.consistency.label_maps import score_label_pairs
from aa_detectron.errors import InvalidOption

FORMS = [
    ["dark", "light"],
    ("dark", "light"),
    np.array(["dark", "light"]),
    {0: "dark", 1: "light"},
    {np.int64(1): "light", 0: "dark"},
    {"a": "dark", "b": "light"}.values(),
]


def measured(names):
    result = evaluate_consistency(bright_things, [squares()], class_names=names)
    records, settings = result.records, result.settings
    metric = ConsistencyMetric(class_names=names)
    found = bright_things([squares()])[0]
    metric.update(found, found, ((0, 0), (0, 0)))
    sweep = evaluate_sweep(
        bright_things, [squares()], max_shift=4, score_thresh=0.0, class_names=names
    )
    return result, ConsistencyResult(records, settings, names), metric.compute(), sweep


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_every_form_gives_the_scores_of_a_list(form, tmp_path):
    for expected, result in zip(measured(FORMS[0]), measured(FORMS[form]), strict=True):
        np.testing.assert_equal(result.scores, expected.scores)
        assert "mAISC-light" in result.scores["consistency_segm"]
        result.save(tmp_path / "records.json")
        assert read_report(tmp_path / "records.json")["class_names"] == ["dark", "light"]
    maps = evaluate_consistency(pixels, [squares()], class_names=FORMS[form])
    expected = score_label_pairs(maps.records, FORMS[0])
    np.testing.assert_equal(score_label_pairs(maps.records, FORMS[form]), expected)
    np.testing.assert_equal(maps.scores["consistency_sem_seg"], expected)


def test_a_dict_names_the_classes_by_their_indices():
    def person(crops):
        return [{"boxes": [[0, 0, 99, 99]], "scores": [0.9], "classes": [1]} for _ in crops]

    names = {2: "car", 1: "person"}  # as in COCO, whose categories begin at 1
    result = evaluate_consistency(person, [squares()], class_names=names)
    for scores in (result.scores["consistency_bbox"], score_pairs(result.records, "bbox", names)):
        assert scores["mAISC-person"] == scores["mAISC"]
        assert np.isnan(scores["mAISC-car"]) and np.isnan(scores["mAISC-0"])
    assert result.to_dict()["class_names"] == ["0", "person", "car"]
    assert list_names({}) == list_names([]) == [] and list_names(None) is None


@pytest.mark.parametrize(
    "names",
    [
        *("person", b"person", 3, {"person", "car"}, np.array("x")),
        *({"0": "person"}, {-1: "x"}, {10**12: "x"}),
    ],
)
def test_other_forms_are_rejected_before_anything_is_predicted(names):
    calls = []
    for make in (
        lambda: evaluate_consistency(calls.append, [squares()], class_names=names),
        lambda: evaluate_sweep(calls.append, [squares()], class_names=names),
        lambda: ConsistencyMetric(class_names=names),
        lambda: ConsistencyResult([], {}, names),
    ):
        with pytest.raises(InvalidOption, match="class_names is .*, but must be a list of names"):
            make()
    assert not calls
