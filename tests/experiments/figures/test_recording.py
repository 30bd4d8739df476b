import pytest
import torch
from torch import nn

from aa_detectron.engine.launch import LoadedModel
from aa_detectron.errors import InputError
from aa_detectron.experiments.figures.recording import (
    adaptive_filters,
    check_shared_places,
    over_image,
    place_name,
    record_image,
)
from aa_detectron.layers import AdaptiveBlurPool2d


class Model(nn.Module):
    """A backbone with a strided conv and a filter, fed like Detectron2's models."""

    def __init__(self, *layers):
        super().__init__()
        self.backbone = nn.Sequential(*layers)

    def forward(self, items):
        return [self.backbone(item["image"][None]) for item in items]


def test_place_names():
    names = {
        "stem.aa": "stem",
        "bottom_up.res3.0.aa": "res3",
        "bottom_up.res5.0.aa_shortcut": "res5 shortcut",
        "mine.filter": "mine.filter",
    }
    assert [place_name(name) for name in names] == list(names.values())


def test_inputs_are_what_the_filters_get_and_no_hook_stays():
    model = Model(nn.Conv2d(3, 8, 3, 2, 1), AdaptiveBlurPool2d(8, groups=2)).eval()
    item = {"image": torch.rand(3, 12, 10)}
    inputs, padded = record_image(model, item)
    assert padded == (12, 10) and list(inputs) == ["1"]
    assert torch.equal(inputs["1"], model.backbone[0](item["image"][None]))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_without_adaptive_filters():
    with pytest.raises(InputError, match="no adaptive filters"):
        adaptive_filters(nn.Conv2d(3, 3, 1))


def test_places_that_models_do_not_share():
    def model(*places):
        blocks = {p: nn.ModuleDict({"aa": AdaptiveBlurPool2d(4, groups=2)}) for p in places}
        return LoadedModel(None, nn.ModuleDict({"backbone": nn.ModuleDict(blocks)}))

    check_shared_places({"a": model("stem", "res3"), "b": model("res3")})
    with pytest.raises(InputError, match="filters are at a: stem; b: res3, res4; but a figure"):
        check_shared_places({"a": model("stem"), "b": model("res3", "res4")})


@pytest.mark.parametrize("stride, padded, size", [(4, (64, 32), (61, 32)), (4, (65, 33), (65, 33))])
def test_location_p_is_at_pixel_stride_times_p(stride, padded, size):
    cells = [-(-n // stride) for n in padded]
    rows = stride * torch.arange(cells[0]).float()[:, None].expand(*cells)
    fine = over_image(rows, padded, size)
    assert fine.shape == size
    expected = torch.arange(size[0]).clamp(max=stride * (cells[0] - 1)).float()
    assert torch.allclose(fine, expected[:, None].expand(size), atol=1e-4)


@pytest.mark.parametrize("pool_size", [3, 2])
def test_stride_of_every_stage_for_all_sides(pool_size):
    for side in range(32, 601):
        cells = -(-side // 2) - (3 - pool_size)  # the stem's map after the max pooling
        for stride in (4, 8, 16, 32):
            cells = -(-cells // 2)
            if cells > (1 if pool_size == 3 else 3):
                fine = over_image(torch.arange(cells).float()[:, None], (side, 1), (side, 1))
                assert fine[stride, 0] == pytest.approx(1, abs=1e-3), (side, stride)


def test_one_filter_for_the_image_is_everywhere():
    assert torch.equal(
        over_image(torch.full((1, 1), 3.0), (64, 32), (60, 30)), torch.full((60, 30), 3.0)
    )
