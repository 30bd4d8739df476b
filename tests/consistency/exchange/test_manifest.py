import json

import pytest
from consistency.command_line import fails, run

from aa_detectron.consistency.exchange.record_files import read_report


def test_a_manifest_without_a_kind_of_shift_is_of_plain_crops(predicted, tmp_path, monkeypatch):
    content = json.loads((predicted / "manifest.json").read_text())
    for name in ("shifts", "steps_per_pixel"):
        del content["settings"][name]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    words = ["--instances", predicted / "results.json", "--output", tmp_path / "out.json"]
    run(monkeypatch, "score", tmp_path / "manifest.json", *words)
    run(monkeypatch, "score", predicted / "manifest.json", *words[:3], tmp_path / "new.json")
    old, new = (read_report(tmp_path / name)["pairs"] for name in ("out.json", "new.json"))
    assert old == new
    content["images"][0]["offset"] = [0.5, 1]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    said = fails(monkeypatch, "score", tmp_path / "manifest.json", *words)
    assert "manifest.images[0].offset[0] is 0.5, but must be an integer from 0" in said


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "manifest.version is 2, but must be 1"),
        ({"pairs": []}, "has no pairs"),
        ({"pairs": [{"first": 1, "second": 99, "pair": 0}]}, "the crop 99, which images lack"),
        ({"pairs": [{"first": 1, "second": 12, "pair": 0}]}, "crops of two images"),
        ({"settings": {"kind": "x"}}, "manifest.settings.kind is 'x', but must be 'pairs' or"),
        (
            {"settings": {"kind": "pairs", "shifts": "x"}},
            "manifest.settings.shifts is 'x', but must be 'crop' or 'circular' or 'fractional'",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(predicted, tmp_path, monkeypatch, change, message):
    content = json.loads((predicted / "manifest.json").read_text()) | change
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    words = ["score", tmp_path / "manifest.json", "--instances", predicted / "results.json"]
    assert message in fails(monkeypatch, *words)
