"""Crops and predictions on disk, for systems in any language.

:func:`write_crops` writes crops as PNG with a manifest. Any system can predict on them.
:func:`score_predictions` makes records from the system's files. They equal the records that
:func:`~aa_detectron.consistency.predictors.evaluate_consistency` makes from the same outputs.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

from .compare import Rules, compare
from .crops import Compared, Group, PairGroups, cut, make_groups
from .images import ImageItem
from .manifest import NAME, Crop, Manifest, read_manifest
from .prediction_files import Predictions, Read
from .predictions import read_prediction
from .predictors import in_order
from .records import plain
from .results import ConsistencyResult, SweepResult
from .sweep import SweepGroups, add_every_shift

FOLDER = "crops"
"""Folder of the crops, beside the manifest."""


def write_crops(
    items: Iterable[ImageItem],
    output: str | os.PathLike,
    options: PairGroups | SweepGroups,
    *,
    strict: bool = True,
) -> Manifest:
    """Writes the crops of images and their manifest.

    The folder appears when it is complete. Until then, a temporary folder beside it has the files.

    Args:
        items: images.
        output: folder that does not exist or is empty.
        options: choice of the crops.
        strict: see :func:`~aa_detectron.consistency.predictors.evaluate_consistency`.

    Raises:
        InputError: an unusable image, or a folder that has files or cannot be written.
    """
    kind = "sweep" if isinstance(options, SweepGroups) else "pairs"
    manifest = Manifest({"kind": kind, **options._asdict()}, {}, [])
    with _new_folder(Path(output)) as folder:
        (folder / FOLDER).mkdir()
        for group in make_groups(items, options.__call__, strict=strict):
            first = _write_crop(group, group.reference, folder, manifest)
            for number, offset in group.others.items():
                second = _write_crop(group, offset, folder, manifest)
                manifest.pairs.append((first, second, number))
        if not manifest.pairs:
            raise InputError(f"{output}: no image can be used, so there is nothing to write")
        write_json(folder / NAME, manifest.to_dict())
    return manifest


def _write_crop(group: Group, offset: tuple[int, int], folder: Path, manifest: Manifest) -> int:
    key = len(manifest.crops) + 1
    name = f"{FOLDER}/{key:08d}.png"
    Image.fromarray(cut(group, offset)).save(folder / name)
    manifest.crops[key] = Crop(name, plain(group.item.image_id), offset, group.size)
    return key


@contextlib.contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """Yields a temporary folder that replaces ``output`` if the block succeeds."""
    folder = None
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise InputError(f"{output}: exists, but must be a new or empty folder")
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        folder.chmod(0o755)  # only the owner can read mkdtemp's folders
        yield folder
        folder.replace(output)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def score_predictions(
    manifest_path: str | os.PathLike,
    predictions: Predictions,
    *,
    score_thresh: float = 0.5,
    match_class: bool = True,
    truth: Mapping[str, dict | None] | None = None,
) -> ConsistencyResult:
    """Makes records and scores from predictions that another program has written.

    Args:
        manifest_path: path of the manifest from :func:`write_crops`.
        predictions: reader of one kind of files, see
            :mod:`~aa_detectron.consistency.prediction_files`.
        score_thresh, match_class: see
            :func:`~aa_detectron.consistency.predictors.evaluate_consistency`.
        truth: ground truth of the images by the ``str`` of the image id.

    Raises:
        InputError: an unusable manifest or prediction; the message names the file and the crop.
    """
    manifest = read_manifest(manifest_path)
    rules = Rules(score_thresh, match_class)
    compared = _compare_files(manifest, predictions, rules, truth or {})
    settings = {**manifest.settings, **vars(rules)}
    if manifest.settings["kind"] == "sweep":
        stride = manifest.settings.get("stride", 32)
        return SweepResult(list(add_every_shift(compared)), settings, stride=stride)
    return ConsistencyResult(in_order([found.record for found in compared]), settings)


def _compare_files(
    manifest: Manifest,
    predictions: Predictions,
    rules: Rules,
    truth: Mapping[str, dict | None],
) -> Iterator[Compared]:
    read = predictions(manifest)
    shifts: dict[int, dict[int, tuple[int, int]]] = {}
    for first, second, number in manifest.pairs:
        shifts.setdefault(first, {})[number] = manifest.crops[second].offset
    reference: tuple[int | None, dict] = (None, {})
    for first, second, number in manifest.pairs:
        crops = manifest.crops[first], manifest.crops[second]
        size, offsets = crops[0].size, (crops[0].offset, crops[1].offset)
        if reference[0] != first:
            reference = first, _read(read, first, size, rules)
        other = _read(read, second, size, rules)
        known = truth.get(str(crops[0].image_id))
        item = ImageItem(crops[0].image_id, _no_image, known)
        record = compare(item.image_id, number, offsets, size, reference[1], other, rules, known)
        yield Compared(
            record, reference[1], other, Group(item, None, size, offsets[0], shifts[first])
        )


def _read(read: Read, key: int, size: tuple[int, int], rules: Rules) -> dict:
    output, name = read(key)
    try:
        return read_prediction(output, size, rules.score_thresh)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _no_image() -> np.ndarray:
    raise InputError("predictions on disk come without images")
