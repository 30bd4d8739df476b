"""Images of every kind, made here, through the loader that tests consistency."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from detectron2.config import get_cfg
from PIL import Image

from aa_detectron import add_aa_config
from aa_detectron.data.images import image_size, read_image
from aa_detectron.data.pairs import build_shifted_pair_loader, get_image_dicts
from aa_detectron.errors import InputError

HEIGHT, WIDTH = 40, 56
GRAY = np.linspace(0, 255, HEIGHT * WIDTH).astype(np.uint8).reshape(HEIGHT, WIDTH)
COLOR = np.stack([GRAY, GRAY[::-1], GRAY[:, ::-1]], axis=2)
IMAGE, GRAY_IMAGE = Image.fromarray(COLOR), Image.fromarray(GRAY)
FEW = IMAGE.quantize(16)
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
         6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
"""How to make a photograph that is upright once turned as EXIF's number says."""


def saved(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def gray(levels):
    return np.repeat(np.asarray(levels)[..., None], 3, axis=2)


def exif(number):
    turned = IMAGE.transpose(Image.Transpose[TURNS[number]]) if number > 1 else IMAGE
    tags = Image.Exif()
    tags[0x0112] = number
    return saved(turned, exif=tags)


def with_alpha(image, mode):
    made = image.convert(mode)
    made.putalpha(Image.fromarray(GRAY[::-1].copy()))
    return made


def wide(levels, kind="PNG"):
    return saved(Image.fromarray(levels), kind)


def cv2_png(levels):
    return cv2.imencode(".png", levels)[1].tobytes()


def pgm_of_16_bits():
    return b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + (GRAY.astype(">u2") * 257).tobytes()


def chunk(kind, content):
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def png(width, height, bits=8, color=2, pixels=b"\0" * 99, between=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + between + data


def inside(content, offset, new):
    return content[:offset] + new + content[offset + len(new) :]


PNG = saved(IMAGE)
GOOD = {
    "RGB": ("png", PNG, COLOR),
    "RGB bmp": ("bmp", saved(IMAGE, "BMP"), COLOR),
    "RGB tiff": ("tif", saved(IMAGE, "TIFF"), COLOR),
    "RGB ppm": ("ppm", saved(IMAGE, "PPM"), COLOR),
    "RGB webp": ("webp", saved(IMAGE, "WEBP", lossless=True), COLOR),
    "PNG named jpg": ("jpg", PNG, COLOR),
    "capitals": ("PNG", PNG, COLOR),
    "gray": ("png", saved(GRAY_IMAGE), gray(GRAY)),
    "gray jpeg": ("jpeg", saved(GRAY_IMAGE, "JPEG", quality=100), None),
    "gray with alpha": ("png", saved(with_alpha(GRAY_IMAGE, "LA"), "PNG"), gray(GRAY)),
    "alpha": ("png", saved(with_alpha(IMAGE, "RGBA")), COLOR),
    "alpha webp": ("webp", saved(with_alpha(IMAGE, "RGBA"), "WEBP", lossless=True, exact=True),
                   COLOR),
    "palette": ("png", saved(FEW), np.asarray(FEW.convert("RGB"))),
    "palette, transparent": ("png", saved(FEW, transparency=3), np.asarray(FEW.convert("RGB"))),
    "one bit": ("png", saved(Image.fromarray(GRAY > 99)), gray(255 * (GRAY > 99))),
    "CMYK": ("tif", saved(IMAGE.convert("CMYK"), "TIFF"), COLOR),
    "CMYK jpeg": ("jpg", saved(IMAGE.convert("CMYK"), "JPEG", quality=100), None),
    "gray of 16 bits": ("png", wide(GRAY.astype(np.uint16) * 257), gray(GRAY)),
    "16 bits, lower ones differ": ("png", wide(GRAY.astype(np.uint16) * 256 + 255), gray(GRAY)),
    "12 bits": ("png", wide(GRAY.astype(np.uint16) * 16), gray(GRAY // 16)),
    "tiff of 16 bits": ("tif", wide(GRAY.astype(np.uint16) * 257, "TIFF"), gray(GRAY)),
    "pgm of 16 bits": ("ppm", pgm_of_16_bits(), gray(GRAY)),
    "color of 16 bits": ("png", cv2_png(COLOR[..., ::-1].astype(np.uint16) * 257), COLOR),
    "two frames": ("png", saved(IMAGE, save_all=True, append_images=[GRAY_IMAGE]), COLOR),
    **{f"EXIF {n}": ("png", exif(n), COLOR) for n in range(1, 9)},
}  # fmt: skip
BAD = {
    "empty": ("png", b""),
    "text": ("jpg", b"no image"),
    "half a PNG": ("png", PNG[: len(PNG) // 2]),
    "half a JPEG": ("jpg", saved(IMAGE, "JPEG")[:-300]),
    "half a BMP": ("bmp", saved(IMAGE, "BMP")[:-300]),
    "half a TIFF": ("tif", saved(IMAGE, "TIFF")[:500]),
    "half a WebP": ("webp", saved(IMAGE, "WEBP")[:-30]),
    "half a PPM": ("ppm", saved(IMAGE, "PPM")[:-300]),
    "only a PNG's header": ("png", PNG[:40]),
    "PNG with a broken checksum": ("png", inside(PNG, 29, b"\0\0\0\0")),
    "PNG without pixels": ("png", png(9, 9, pixels=b"")),
    "PNG of no size": ("png", png(0, 0)),
    "PNG of 50000 x 50000": ("png", png(50_000, 50_000)),
    "PNG of 2**31 x 2": ("png", png(2**31 - 1, 2**31 - 1)),
    "PNG with much text": (
        "png", png(9, 9, between=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(70_000_000))))),
    "PNG of unknown color": ("png", png(9, 9, color=7)),
    "BMP of negative width": ("bmp", inside(saved(IMAGE, "BMP"), 18, struct.pack("<i", -5))),
    "TIFF with a broken directory": ("tif", b"II*\0\x08\0\0\0" + b"\xff" * 50),
    "PPM of words": ("ppm", b"P6 a b c\n"),
    "PPM of text size": ("ppm", b"P6 99999999999999999999 2 255\n"),
    "integers of 32 bits": ("tif", wide(GRAY.astype(np.int32) * 1000, "TIFF")),
    "floats": ("tif", wide(GRAY.astype(np.float32), "TIFF")),
    "one pixel": ("png", saved(IMAGE.crop((0, 0, 1, 1)))),
    "one row": ("png", saved(IMAGE.crop((0, 0, 56, 1)))),
    "3 rows": ("png", saved(IMAGE.crop((0, 0, 56, 3)))),
    "thin": ("png", saved(IMAGE.resize((3000, 4)))),
}  # fmt: skip


def config(**consistency):
    cfg = get_cfg()
    add_aa_config(cfg)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 96
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.TEST.CONSISTENCY.update(consistency)
    return cfg


def crops(cfg, folder):
    return [crop for batch in build_shifted_pair_loader(cfg, str(folder)) for crop in batch]


@pytest.mark.parametrize("suffix, content, expected", GOOD.values(), ids=list(GOOD))
def test_read_right(tmp_path, suffix, content, expected):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    found = read_image({"file_name": str(path)}, "RGB")
    assert found.dtype == np.uint8 and found.shape == (HEIGHT, WIDTH, 3)
    assert image_size(str(path)) == (HEIGHT, WIDTH)
    if expected is not None:
        np.testing.assert_array_equal(found, expected)
    bgr = read_image({"file_name": str(path)}, "BGR")
    np.testing.assert_array_equal(bgr, found[..., ::-1])
    assert len(crops(config(), tmp_path)) == 2


@pytest.mark.parametrize("suffix, content", BAD.values(), ids=list(BAD))
def test_rejected_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        crops(config(STRICT=True), tmp_path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix, content", BAD.values(), ids=list(BAD))
def test_left_out_of_a_folder(tmp_path, suffix, content, caplog):
    (tmp_path / f"bad.{suffix}").write_bytes(content)
    (tmp_path / "good.png").write_bytes(PNG)
    found = crops(config(PAIRS_PER_IMAGE=2), tmp_path)
    assert [crop["image_id"] for crop in found] == ["good.png"] * 4
    assert f"bad.{suffix}" in caplog.text and "1 of 2 images are left out" in caplog.text


def test_folder_without_a_usable_image(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="2 of 2 images cannot be used: .*a.png"):
        crops(config(), tmp_path)


@pytest.mark.parametrize("kind", ["missing", "a folder", "a loop", "NUL"])
def test_file_that_cannot_be_opened(tmp_path, kind):
    path = tmp_path / "x.png"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a loop":
        path.symlink_to(path.name)
    name = f"{path}\0" if kind == "NUL" else str(path)
    for read in (lambda: read_image({"file_name": name}, "RGB"), lambda: image_size(name)):
        with pytest.raises(InputError, match="x.png.*: cannot be read as an image") as caught:
            read()
        assert str(caught.value).isprintable()


def test_errors_of_this_package_keep_their_traceback(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(PNG)
    monkeypatch.setattr("aa_detectron.data.images.to_8_bits", lambda *args: {}["bug"])
    with pytest.raises(KeyError):
        read_image({"file_name": str(tmp_path / "x.png")}, "RGB")


def test_what_systems_leave_in_folders(tmp_path):
    kept = ["a.png", "b/c.JPG", "b/d.webp"]
    left = ["._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "b/.d.png", "@eaDir/a.png",
            "Thumbs.db", "notes.txt", ".DS_Store", "b/__MACOSX/x/a.png"]  # fmt: skip
    for name in kept + left:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "folder.png").mkdir()
    assert [d["image_id"] for d in get_image_dicts(str(tmp_path))] == kept


def test_a_folder_below_a_hidden_one(tmp_path):
    folder = tmp_path / ".cache" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    assert len(get_image_dicts(str(folder))) == 1


@pytest.mark.parametrize(
    "name", [b"gr\xfcn.png", b"\xff\xfe.png", "gr\u00fcn \U0001f600.png".encode()]
)
def test_names_in_any_encoding(tmp_path, name):
    with open(bytes(tmp_path) + b"/" + name, "wb") as file:
        file.write(PNG)
    assert len(crops(config(), tmp_path)) == 2


def test_names_with_control_characters(tmp_path):
    (tmp_path / "a\x1b[2J\nb.png").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        crops(config(STRICT=True), tmp_path)
    assert str(caught.value).isprintable() and "a\\x1b[2J\\nb.png" in str(caught.value)


@pytest.mark.parametrize("value", ["BGR", "L", "RGB", "YUV-BT.601"])
def test_image_formats_can_be_read(tmp_path, value):
    (tmp_path / "x.png").write_bytes(PNG)
    found = read_image({"file_name": str(tmp_path / "x.png")}, value)
    assert found.shape == (HEIGHT, WIDTH, 1 if value == "L" else 3)
