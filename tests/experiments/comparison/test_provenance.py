"""The commit that results name is the one of this project, or none."""

import json
import subprocess

import pytest
from helpers import ROOT

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison.plan import plan_of_runs
from aa_detectron.experiments.comparison.provenance import commit, environment, finished_steps


def git(folder, *arguments):
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit, of another project."""
    git(tmp_path, "init")
    (tmp_path / "a").touch()
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    return tmp_path


def add_package(folder):
    (folder / "aa_detectron").mkdir(parents=True)
    (folder / "aa_detectron" / "__init__.py").touch()


def test_commit_of_a_checkout(repository):
    add_package(repository)
    git(repository, "add", ".")
    git(repository, "commit", "-m", "b")
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True)
    assert found.stdout.decode().startswith(commit(repository)) and len(commit(repository)) == 12
    (repository / "aa_detectron" / "__init__.py").write_text("changed")
    assert commit(repository).endswith("-dirty")


@pytest.mark.parametrize("place", [".", "env/site-packages"])
def test_of_another_repository_is_no_commit(repository, place):
    add_package(repository / place)
    assert commit(repository / place) == "unknown"


def test_variables_of_git_name_no_other_repository(repository, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    folder = tmp_path_factory.mktemp("no repository")
    add_package(folder)
    assert commit(folder) == "unknown"


def test_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert environment()["commit"] == "unknown" == commit(ROOT)


STEP = {"command": ["a"], "seconds": 1.5, "commit": "c", "machine": "m"}
STEP |= {"torch": "t", "detectron2": "d", "python": "p"}


@pytest.mark.parametrize(
    "changed",
    [{"seconds": []}, {"seconds": -1}, {"seconds": True}, {"seconds": float("nan")}]
    + [{"command": "a"}, {"command": [1]}, {"machine": None}],
)
def test_values_of_other_types_are_rejected(tmp_path, changed):
    (run,) = plan_of_runs([f"a={tmp_path}"], "out").runs
    (tmp_path / "step.json").write_text(json.dumps(STEP))
    assert finished_steps(run) == {"": STEP}
    (tmp_path / "step.json").write_text(json.dumps(STEP | changed))
    with pytest.raises(InputError, match=f"is broken .{next(iter(changed))} is"):
        finished_steps(run)
