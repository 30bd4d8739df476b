"""Networks from plain arguments, to be built with Detectron2 and without it."""

import torch

from aa_detectron.layers import FilterOptions
from aa_detectron.modeling.build import build_resnet
from aa_detectron.models import aa_resnet18, aa_resnet50, aa_resnext50_32x4d

adaptive = FilterOptions("adaptive", groups=4, init="kaiming").lowpass
NETWORKS = {
    "18": lambda: aa_resnet18(filter="adaptive", num_classes=5),
    "50": lambda: aa_resnet50(filter="none", num_classes=5),
    "next": lambda: aa_resnext50_32x4d(filter="blur", num_classes=None),
    "deeplab": lambda: build_resnet(
        50,
        lowpass=adaptive,
        stem_type="deeplab",
        res2_out_channels=64,
        width_per_group=32,
        norm="GN",
        res4_dilation=2,
        res5_dilation=4,
        res5_multi_grid=(1, 2, 4),
        out_features=["stem", "res2", "res5"],
    ),
    "c4": lambda: build_resnet(
        34, lowpass=adaptive, out_features=["res4"], freeze_at=2, stem_out_channels=16
    ),
    "msra": lambda: build_resnet(
        50, norm="BN", stride_in_1x1=True, width_per_group=16, res2_out_channels=64,
        out_features=["linear", "res3"], num_classes=3,
    ),
}  # fmt: skip


def described(name: str) -> dict:
    """A network's weights from one seed, what is trainable, outputs and a gradient."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    x = torch.randn(2, 3, 65, 64, requires_grad=True)
    outputs = network(x)
    outputs = outputs if isinstance(outputs, dict) else {"last": outputs}
    sum(output.square().mean() for output in outputs.values()).backward()
    return {
        "weights": weights,
        "trainable": [key for key, p in network.named_parameters() if p.requires_grad],
        "outputs": {key: output.detach() for key, output in outputs.items()},
        "gradient": x.grad,
    }
