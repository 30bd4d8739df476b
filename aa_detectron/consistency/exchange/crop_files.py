"""Crops on disk with their manifest, for systems in any language.

:func:`~aa_detectron.consistency.exchange.scoring.score_predictions` makes records from the system's
files. They equal the records that
:func:`~aa_detectron.consistency.predictors.evaluate_consistency` makes from the same outputs.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

from ..crops import Group, PairGroups, cut, make_groups
from ..records import plain
from ..shifts import Position
from ..sources.images import ImageItem
from ..sweep.groups import SweepGroups
from .manifest import NAME, Crop, Manifest

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

    The files appear when all are complete. Until then, a temporary folder has them, beside a new
    folder or inside an empty one.

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
        write_json(folder / NAME, manifest.to_dict())
    return manifest


def _write_crop(group: Group, offset: Position, folder: Path, manifest: Manifest) -> int:
    key = len(manifest.crops) + 1
    name = f"{FOLDER}/{key:08d}.png"
    Image.fromarray(cut(group, offset)).save(folder / name)
    manifest.crops[key] = Crop(name, plain(group.item.image_id), offset, group.size)
    return key


@contextlib.contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """Yields a temporary folder whose files ``output`` has if the block succeeds.

    A folder that exists is filled, not replaced, since it may be a mount point.
    """
    target, folder = Path(os.path.realpath(output)), None
    try:
        exists = os.path.lexists(target)
        if exists and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{output}: exists, but must be a new or empty folder")
        if target == Path.cwd():
            raise InputError(f"{output}: is the current folder, but must be a new or another one")
        parent = target if exists else target.parent
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=parent))
        folder.chmod(0o755)  # only the owner can read mkdtemp's folders
        yield folder
        if exists:
            _move_files(folder, target)
        else:
            folder.replace(target)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _move_files(source: Path, output: Path) -> None:
    """Moves the crops and their manifest, both or none."""
    (source / FOLDER).replace(output / FOLDER)
    try:
        (source / NAME).replace(output / NAME)
    except BaseException:
        (output / FOLDER).replace(source / FOLDER)
        raise
