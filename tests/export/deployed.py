"""Small networks with filters that depend on the map, and the ways to export them."""

import functools
import io

import onnxruntime
import torch
from torch.export import Dim

from aa_detectron.layers import AdaptiveBlurPool2d, BlurPool2d, FilterOptions
from aa_detectron.modeling.build import build_resnet, make_stage
from aa_detectron.modeling.resnet import AABasicStem
from aa_detectron.models import AAResNet

NAMED = ("pasa", "gaussian", "wavelet", "flc", "asap")
LAYERS = {
    "blur": lambda: BlurPool2d(8),
    "blur of 4": lambda: BlurPool2d(8, 4, padding_mode="replicate"),
    "adaptive": lambda: AdaptiveBlurPool2d(8, groups=2),
    "adaptive of 5": lambda: AdaptiveBlurPool2d(8, 5, groups=4, softmax="all", norm="GN"),
    "image": lambda: AdaptiveBlurPool2d(8, adaptivity="image", padding_mode="zeros", norm=""),
    "channel": lambda: AdaptiveBlurPool2d(8, groups=2, adaptivity="channel", norm="FrozenBN"),
    **{name: functools.partial(FilterOptions(name).build, 8, 2) for name in NAMED},
}
MAP, OTHER_MAPS = (2, 8, 9, 8), [(1, 8, 12, 31), (3, 8, 5, 4)]
IMAGE, OTHER_IMAGES = (2, 3, 64, 80), [(1, 3, 97, 65), (3, 3, 50, 128)]


def randomize(network, scale=0.3):
    """Draws all weights and statistics of the norms anew: the filters depend on the map."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn_like(value) * scale
            value.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return network


def layer(name):
    return randomize(LAYERS[name]()).eval()


def classifier(name):
    """A narrow ResNet-18 with the filters of ``aa_resnet18(filter=name)``."""
    network = build_resnet(
        18,
        lowpass=FilterOptions(name, groups=2).lowpass,
        stem_out_channels=8,
        num_classes=3,
        network=AAResNet,
    )
    return randomize(network, 0.1).eval()


def short_classifier(stem_filter, stage_filter):
    """A narrow network of a stem and one block, with three filters."""
    stem, stage = (FilterOptions(name, groups=2).lowpass for name in (stem_filter, stage_filter))
    blocks = make_stage(3, 18, stem_out_channels=8, lowpass=stage)[:1]
    network = AAResNet(AABasicStem(3, 8, lowpass=stem), [blocks], num_classes=3)
    return randomize(network, 0.1).eval()


def any_size(shape):
    """{dimension: ...} of all sizes that may change; the number of channels is fixed."""
    return {axis: Dim.DYNAMIC for axis in range(len(shape)) if axis != 1}


def exported(network, shape):
    """The network after ``torch.export``."""
    with torch.no_grad():
        program = torch.export.export(
            network, (torch.randn(shape),), dynamic_shapes=(any_size(shape),)
        )
    return program.module()


def traced(network, shape):
    with torch.no_grad():
        return torch.jit.trace(network, (torch.randn(shape),))


def onnx_of_a_trace(network, shape):
    names = {axis: f"size{axis}" for axis in any_size(shape)}
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.randn(shape),),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        dynamic_axes={"x": names},
    )
    return in_onnxruntime(file.getvalue())


def onnx_of_an_export(network, shape):
    file = io.BytesIO()
    program = torch.onnx.export(
        network,
        (torch.randn(shape),),
        dynamo=True,
        input_names=["x"],
        dynamic_shapes=(any_size(shape),),
        verbose=False,
    )
    program.save(file)
    return in_onnxruntime(file.getvalue())


def in_onnxruntime(model):
    """A function that runs an ONNX model of one input, from bytes; one output or a tuple."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # an error is raised as well
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return functools.partial(_run, session, session.get_inputs()[0].name)


def _run(session, name, x):
    outputs = tuple(map(torch.from_numpy, session.run(None, {name: x.numpy()})))
    return outputs if len(outputs) > 1 else outputs[0]


def assert_equal(network, deployed, shapes):
    """The deployed network has the outputs of the original on random inputs of these shapes."""
    with torch.no_grad():
        for shape in shapes:
            x = torch.randn(shape)
            torch.testing.assert_close(deployed(x), network(x), rtol=1e-4, atol=1e-5)
