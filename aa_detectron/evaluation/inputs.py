"""Check that an evaluator is fed by its own loader."""

from detectron2.evaluation import DatasetEvaluator

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
