"""What an evaluator gets: inputs of its own loader, and the model's outputs for them."""

import contextlib
import math
from collections.abc import Iterator

from detectron2.evaluation import DatasetEvaluator

from aa_detectron.consistency.adapters.predictions import read_prediction
from aa_detectron.errors import InputError


def check_inputs(evaluator: DatasetEvaluator, inputs: list[dict], key: str, loader: str) -> None:
    """Rejects inputs of another loader, such as Detectron2's ``build_detection_test_loader``.

    Args:
        evaluator: evaluator that processes the inputs.
        inputs: inputs of the model.
        key: key that the evaluator's own loader adds to every input.
        loader: call that builds this loader.

    Raises:
        InputError: an input lacks the key; the message says which loader to use.
    """
    if any(key not in item for item in inputs):
        raise InputError(
            f"{type(evaluator).__name__}: the inputs have no {key!r}, so they come from another "
            f"loader; evaluate on the loader {loader}"
        )


def read_output(item: dict, output: dict, key: str, score_thresh: float = -math.inf) -> dict:
    """Converts one of a model's outputs to a plain prediction.

    Args:
        item: input of the model with "height" and "width", the size of the output in pixels.
        output: the model's outputs for the input.
        key: "instances", "sem_seg" or "logits".
        score_thresh: minimum score of an instance that is kept.

    Returns:
        plain prediction, see :mod:`~aa_detectron.consistency.adapters.predictions`.

    Raises:
        InputError: the output is missing or cannot be used; the message names the image.
    """
    with naming(item):
        if key not in output:
            raise InputError(f"the model's outputs have no {key!r}")
        size = item.get("height", 0), item.get("width", 0)  # logits need none
        return read_prediction({key: output[key]}, size, score_thresh)


@contextlib.contextmanager
def naming(item: dict) -> Iterator[None]:
    """Adds the name of an input's image to an InputError of the block."""
    try:
        yield
    except InputError as error:
        name = item.get("file_name", f"image {item.get('image_id')!r}")
        raise InputError(f"{name}: {error}") from None
