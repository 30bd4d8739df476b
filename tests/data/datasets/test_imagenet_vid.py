"""ImageNet-VID: the frames of a sequence, their classes, and the mapping to ImageNet-1k."""

import importlib
import itertools

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets import builtin, imagenet
from aa_detectron.data.datasets.imagenet_vid import (
    CLASSES,
    load_imagenet_vid,
    read_classes,
    register_imagenet_vid,
)
from aa_detectron.errors import InputError

CAR, DOG = "n02958343", "n02084071"
NAMES = [c["name"] for c in CLASSES]


def write_frame(folder, sequence, number, wnids, split="val"):
    """A frame with an object of each wnid, in the layout of the download."""
    stem = f"{sequence}/{number:06d}"
    annotation = folder / "Annotations" / "VID" / split / f"{stem}.xml"
    image = folder / "Data" / "VID" / split / f"{stem}.JPEG"
    for file in (annotation, image):
        file.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><trackid>{i}</trackid><name>{wnid}</name><bndbox><xmax>9</xmax></bndbox></object>"
        for i, wnid in enumerate(wnids)
    )
    annotation.write_text(
        f"<annotation>\n<folder>{sequence}</folder><filename>{number:06d}</filename>"
        f"<source><database>ILSVRC_2015</database></source>{objects}</annotation>\n"
    )
    image.touch()
    return annotation


def chosen(folder, split="val"):
    return [d["image_id"] for d in load_imagenet_vid(str(folder), split)]


# -- Frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length, frames",
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 1]),  # 0.6, 1.2 and 1.8
        (4, [0, 1, 2]),
        (5, [1, 2, 3]),
        (10, [2, 4, 6]),
        (64, [12, 25, 38]),  # 12.8, 25.6 and 38.4
    ],
)
def test_fifths_of_a_sequence(tmp_path, length, frames):
    for number in range(length):
        write_frame(tmp_path, "s", number, [CAR])
    assert chosen(tmp_path) == [f"s/{frame:06d}.JPEG" for frame in frames]


@pytest.mark.parametrize(
    "annotated, frames",
    [
        ([2, 4, 6], [2, 4, 6]),
        ([0, 1, 3, 5, 9], [3, 5, 9]),  # on to the next one
        ([5, 6], [5, 6]),  # the first and second meet in 5, which is taken once
        ([0, 1, 5], [5]),  # none follows the third
        ([0, 1], []),
    ],
)
def test_frames_without_an_object(tmp_path, annotated, frames):
    for number in range(10):
        write_frame(tmp_path, "s", number, [DOG] if number in annotated else [])
    assert chosen(tmp_path) == [f"s/{frame:06d}.JPEG" for frame in frames]


def test_sequences_in_order_and_one_folder_deeper(tmp_path):
    for sequence in ("pack_1/s", "pack_0/t", "pack_0/s"):
        write_frame(tmp_path, sequence, 0, [CAR, DOG, CAR], split="train")
    sequences = ["pack_0/s", "pack_0/t", "pack_1/s"]
    dicts = load_imagenet_vid(str(tmp_path), "train")
    assert [d["image_id"] for d in dicts] == [f"{s}/000000.JPEG" for s in sequences]
    root = tmp_path / "Data" / "VID" / "train"
    assert [d["file_name"] for d in dicts] == [str(root / s / "000000.JPEG") for s in sequences]


def test_annotated_classes_once_and_sorted(tmp_path):
    path = write_frame(tmp_path, "s", 0, [DOG, CAR, DOG])
    assert [NAMES[i] for i in read_classes(str(path))] == ["car", "dog"]
    assert load_imagenet_vid(str(tmp_path), "val")[0]["vid_classes"] == read_classes(str(path))


# -- Bad input -----------------------------------------------------------------------------------


def assert_one_line(tmp_path, *words):
    with pytest.raises(InputError) as error:
        load_imagenet_vid(str(tmp_path), "val")
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_no_sequences(tmp_path):
    expected = str(tmp_path / "Annotations" / "VID" / "val")
    assert_one_line(tmp_path, f"{expected}: found no sequence", "<sequence>/000000.xml")


@pytest.mark.parametrize("text", ["", "<annotation><object>", "no XML"])
def test_broken_xml_names_its_file(tmp_path, text):
    path = write_frame(tmp_path, "s", 0, [CAR])
    path.write_text(text)
    assert_one_line(tmp_path, str(path), "cannot be read as XML")


@pytest.mark.parametrize("wnid", ["n00007846", ""])
def test_unknown_class_names_its_file(tmp_path, wnid):
    path = write_frame(tmp_path, "s", 0, [CAR, wnid])
    assert_one_line(tmp_path, str(path), repr(wnid), "30 wnids")


def test_frame_without_its_image(tmp_path):
    write_frame(tmp_path, "s", 0, [CAR])
    image = tmp_path / "Data" / "VID" / "val" / "s" / "000000.JPEG"
    image.unlink()
    assert_one_line(tmp_path, f"{image}: no such frame")


# -- Classes -------------------------------------------------------------------------------------


def test_classes():
    wnids = [c["wnid"] for c in CLASSES]
    assert NAMES == sorted(NAMES) and len(set(wnids)) == len(CLASSES) == 30
    indices = list(itertools.chain.from_iterable(c["imagenet_1k"] for c in CLASSES))
    assert len(indices) == len(set(indices)) == 288
    assert all(c["imagenet_1k"] == sorted(c["imagenet_1k"]) for c in CLASSES)


def test_class_of_both_lists_is_mapped_to_itself():
    index = {c["wnid"]: i for i, c in enumerate(imagenet.CLASSES)}
    shared = {c["name"]: c["imagenet_1k"] for c in CLASSES if c["wnid"] in index}
    assert shared == {
        name: [index[c["wnid"]]] for name, c in zip(NAMES, CLASSES, strict=True) if name in shared
    }
    assert sorted(shared) == ["giant panda", "hamster", "lion", "red panda", "tiger", "zebra"]


@pytest.mark.parametrize(
    "name, members",
    [
        ("airplane", ["airliner"]),
        ("bear", ["brown bear", "American black bear", "ice bear", "sloth bear"]),
        ("bicycle", ["bicycle-built-for-two", "mountain bike"]),
        ("bus", ["minibus", "school bus", "trolleybus"]),
        ("domestic cat", ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]),
        ("elephant", ["Indian elephant", "African elephant"]),
        ("motorcycle", ["moped"]),
        ("train", ["bullet train"]),
        ("whale", ["grey whale", "killer whale"]),
    ],
)
def test_members_by_name(name, members):
    indices = CLASSES[NAMES.index(name)]["imagenet_1k"]
    assert sorted(imagenet.CLASSES[i]["name"] for i in indices) == sorted(members)


@pytest.fixture
def root(tmp_path):
    register_imagenet_vid(str(tmp_path))
    yield tmp_path
    importlib.reload(builtin)  # back to where it was


def test_registered_without_being_read(root):
    write_frame(root / "ILSVRC2015", "s", 0, [DOG])
    (frame,) = DatasetCatalog.get("imagenet_vid_val")
    metadata = MetadataCatalog.get("imagenet_vid_val")
    assert frame["file_name"] == f"{metadata.image_root}/{frame['image_id']}"
    (label,) = frame["vid_classes"]
    assert (metadata.classes[label], metadata.wnids[label]) == ("dog", DOG)
    assert metadata.imagenet_1k[label] == list(range(151, 269))
    assert metadata.evaluator_type == "imagenet_vid"
