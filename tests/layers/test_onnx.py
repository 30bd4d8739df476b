"""Every filter in an ONNX file, run by ONNX Runtime."""

import io

import pytest
import torch

from aa_detectron.layers import FilterOptions
from aa_detectron.layers.build import KINDS

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

VARIANT = {"predictor_groups": 2, "predictor_smooth": True, "predictor_kernel": 5}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", [*({"name": name} for name in KINDS), VARIANT], ids=str)
def test_equals_eager_mode(options):
    torch.manual_seed(0)
    layer = FilterOptions(**options).build(8, 2).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, file = torch.randn(1, 8, 9, 8), io.BytesIO()
    torch.onnx.export(layer, (x,), file, input_names=["x"], dynamo=False)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-5)
