import errno
import os
from pathlib import Path

import pytest
from consistency.command_line import fails, run

from aa_detectron.consistency.exchange.manifest import read_manifest


def test_crops_are_whole_or_not_there(images, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for path in images.iterdir():
        (tmp_path / "in" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in" / "z.png").write_bytes(b"no image")
    words = ["crops", tmp_path / "in", "--output", out]
    assert "z.png: cannot be read as an image" in fails(monkeypatch, *words)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    with pytest.warns(UserWarning, match=r"z\.png"):
        run(monkeypatch, *words, "--skip")
    assert len(read_manifest(out / "manifest.json").crops) == 6
    assert "exists, but must be a new or empty folder" in fails(monkeypatch, *words)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    said = fails(monkeypatch, *words[:3], ".")
    assert "is the current folder" in said and list(tmp_path.joinpath("here").iterdir()) == []
    assert "max_shift is 0, but must be" in fails(monkeypatch, *words, "--max-shift", 0)
    assert "max_shift is -1, but must be" in fails(
        monkeypatch, *words[:3], tmp_path / "b", "--max-shift", -1
    )


@pytest.mark.parametrize("kind", ["folder", "link", "link to nothing"])
def test_crops_in_an_empty_folder(images, tmp_path, monkeypatch, kind):
    """The folder itself stays, since a mount point cannot be replaced."""
    out, folder = tmp_path / "out", tmp_path / "elsewhere" / "folder"
    if kind != "link to nothing":
        folder.mkdir(parents=True)
    out = folder if kind == "folder" else out
    if kind != "folder":
        out.symlink_to(folder, target_is_directory=True)
    before = folder.stat() if folder.exists() else None
    run(monkeypatch, "crops", images, "--output", out)
    assert len(read_manifest(out / "manifest.json").crops) == 6
    assert sorted(path.name for path in folder.iterdir()) == ["crops", "manifest.json"]
    assert out.is_symlink() == (kind != "folder")
    assert before is None or os.path.samestat(before, folder.stat())


def test_an_empty_folder_stays_empty_if_crops_fail(images, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((images / "0.png").read_bytes())
    (tmp_path / "in" / "z.png").write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    said = fails(monkeypatch, "crops", tmp_path / "in", "--output", tmp_path / "out")
    assert "z.png: cannot be read" in said and not list((tmp_path / "out").iterdir())


def test_crops_whose_manifest_cannot_be_moved(images, tmp_path, monkeypatch):
    replace = Path.replace

    def without_manifest(path, target):
        if Path(target).parent == tmp_path / "out" and path.name == "manifest.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", without_manifest)
    (tmp_path / "out").mkdir()
    said = fails(monkeypatch, "crops", images, "--output", tmp_path / "out")
    assert "out: cannot be written (No space left on device)" in said
    assert not list((tmp_path / "out").iterdir())
