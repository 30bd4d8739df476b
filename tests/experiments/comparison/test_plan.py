from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from helpers import CONFIGS

from aa_detectron.errors import InputError
from aa_detectron.experiments.comparison.configs import load_run_config
from aa_detectron.experiments.comparison.plan import plan_of_runs, read_plan
from aa_detectron.model_zoo import get_config

COMPARISONS = sorted(CONFIGS.glob("comparisons/[!B]*.yaml"))  # without the bases
VARIANT = "variants: {a: {config: a.yaml}, b: {config: a.yaml}}"
LEGAL = f"output: out\nseeds: [1, 2]\n{VARIANT}\n"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "a.yaml").write_text("VERSION: 2\n")
    (tmp_path / "list.yaml").write_text("[a, b]\n")
    (tmp_path / "null_opts.yaml").write_text("opts:\n")

    def write(text):
        path = tmp_path / "comparison.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("path", COMPARISONS, ids=lambda path: path.stem)
def test_committed_comparisons(path):
    """All their configs load, and differ between variants in filters alone: start, rate."""
    plan = read_plan(str(path))
    assert len(plan.runs) == len(plan.seeds) * len(plan.variants)
    same = set()
    for name, runs in plan.variants.items():
        configs = [load_run_config(run) for run in runs if run.config_file]
        assert [cfg.SEED for cfg in configs] in ([], list(plan.seeds))
        for cfg in configs:
            cfg.defrost()
            cfg.SEED, cfg.OUTPUT_DIR, cfg.MODEL.ANTIALIAS, cfg.MODEL.WEIGHTS = 0, "", None, ""
            cfg.SOLVER.FILTER_MULTIPLIER = 1.0
            if name.endswith("old ROIAlign"):  # what the name says, and no more
                for head in (cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD):
                    assert head.POOLER_TYPE == "ROIAlign"
                    head.POOLER_TYPE = "ROIAlignV2"
        same |= {cfg.dump() for cfg in configs}
    assert len(same) == any(run.config_file for run in plan.runs)
    names = {load_run_config(start).MODEL.ANTIALIAS.NAME for start in plan.starts}
    assert names <= {"none"} or path.stem.endswith("own_start")


def test_files_and_configs_by_name(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(read_plan("comparisons/nuclei.yaml").variants) > 1
    name = "Shapes-InstanceSegmentation/demo_plain.yaml"
    plan = read_plan(write(LEGAL.replace("b: {config: a.yaml}", f"b: {{config: {name}}}")))
    assert Path(plan.variants["b"][0].config_file) == CONFIGS / name
    assert plan.variants["a"][0].config_file == str(tmp_path / "a.yaml")


def test_inherited_configs_are_relative_to_the_inheriting_file(write, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "base.yaml").write_text(LEGAL)
    plan = read_plan(write("_BASE_: below/base.yaml\n"))
    assert plan.variants["a"][0].config_file == str(tmp_path / "a.yaml")


def test_runs_and_contrasts(write):
    text = LEGAL + "opts: {A: 1}\nevaluations: {near by: {B: 2}}\nbaselines: [a, b]\n"
    plan = read_plan(
        write(text.replace("b: {config: a.yaml}", "b c: {config: a.yaml}, b: {runs: [x, y]}"))
    )
    names = [run.name for run in plan.runs]
    assert names == [f"{v}/seed_{s}" for s in (1, 2) for v in ("a", "b c", "b")]
    assert plan.contrasts == [("b c", "a"), ("b", "a"), ("b c", "b")]
    run = plan.variants["b c"][1]
    assert run.folder == Path("out/b_c/seed_2") and run.opts == ("A", "1", "SEED", "2")
    assert run.inference("near by") == Path("out/b_c/seed_2/near_by/inference")
    assert run.evaluations == {"near by": ("B", "2")}
    read_only = plan.variants["b"][1]
    assert read_only.folder == Path("y") and read_only.config_file is None
    assert read_plan(write(text), output="other").output == Path("other")
    assert not plan.pool_seeds and read_plan(write(LEGAL + "pool_seeds: true")).pool_seeds
    assert plan.front == ()
    assert read_plan(write(LEGAL + "front: [mIoU, mASSC]")).front == ("mIoU", "mASSC")


def test_all_runs_start_from_the_start(write):
    text = LEGAL + "start: {config: a.yaml, output: begin, opts: {SOLVER.MAX_ITER: 9}}\n"
    plan = read_plan(write(text))
    (start,) = plan.starts
    assert start.opts == ("SOLVER.MAX_ITER", "9") and start.name == "start"
    for run in plan.runs:
        assert run.start is start
        assert run.opts[:2] == ("MODEL.WEIGHTS", "begin/model_final.pth")


def test_variants_may_have_a_start_of_their_own(write):
    own = "{config: a.yaml, output: own}"
    text = LEGAL + "start: {config: a.yaml, output: begin}\n"
    text = text.replace("a: {", f"a: {{start: {own}, ").replace("b: {", "b: {start: null, ")
    text = text.replace(
        "}}\n", f"}}, c: {{config: a.yaml}}, d: {{config: a.yaml, start: {own}}}}}\n", 1
    )
    plan = read_plan(write(text))
    assert [start.name for start in plan.starts] == ["a.start", "start"]
    starts = {
        name: runs[1].start and str(runs[1].start.folder) for name, runs in plan.variants.items()
    }
    assert starts == {"a": "own", "b": None, "c": "begin", "d": "own"}
    assert "MODEL.WEIGHTS" not in plan.variants["b"][0].opts
    with pytest.raises(InputError, match="start.output is 'own', but must be another folder"):
        read_plan(write(text.replace("output: own", "output: own, opts: {A: 1}", 1)))


def test_takes_over_a_base(write, tmp_path):
    (tmp_path / "base.yaml").write_text("seeds: [4, 5]\nopts: {A: 1, B: 2}\n")
    text = "_BASE_: base.yaml\noutput: out\nopts: {B: 3}\n" + VARIANT
    plan = read_plan(write(text))
    assert plan.seeds == (4, 5) and plan.runs[0].opts[:4] == ("A", "1", "B", "3")


@pytest.mark.parametrize(
    "text, named",
    [
        ("", "must hold a mapping"),
        ("[]", "must hold a mapping"),
        ("a: [", "while parsing"),
        (f"seeds: [1]\n{VARIANT}", "output is missing"),
        (f"output: o\n{VARIANT}", "seeds is missing"),
        ("output: o\nseeds: [1]", "variants is missing"),
        (LEGAL + "seed: 1", "unknown key 'seed'"),
        (LEGAL.replace("[1, 2]", "[1, 1]"), "seeds is [1, 1]"),
        (LEGAL.replace("[1, 2]", "3"), "seeds is 3"),
        (LEGAL.replace("[1, 2]", "[true]"), "seeds is [True]"),
        (LEGAL + "opts: [A, 1]", "opts is ['A', 1]"),
        (LEGAL + "baselines: [c]", "baselines is ['c']"),
        (LEGAL + "pool_seeds: 1", "pool_seeds is 1"),
        (LEGAL.replace("a: {", "a: {start: 3, "), "variants.a.start is 3"),
        (LEGAL.replace("a: {config: a.yaml", "a: {opts: {}, runs: [x, y]"), "a.opts is for"),
        (LEGAL.replace("[1, 2]", "[1]") + "pool_seeds: true", "two or more seeds"),
        (LEGAL + "start: {config: a.yaml}", "start.output is missing"),
        (LEGAL.replace("a.yaml}}", "missing.yaml}}"), "missing.yaml is no file"),
        (LEGAL.replace("b: {config: a.yaml}", "b: {}"), "either config or runs"),
        (LEGAL.replace("b: {config: a.yaml}", "b: {runs: [x]}"), "a list of 2 different folders"),
        (
            LEGAL.replace("b: {c", "'a ': {c").replace("{a: {c", "{'a#': {c"),
            "names whose folders differ",
        ),
        (LEGAL.replace(VARIANT, "variants: {}"), "one or more variants"),
        (LEGAL.replace("a: {c", "figures: {c"), "none of inference, figures"),
        (LEGAL.replace("a: {c", "..: {c"), "names whose folders differ"),
        (LEGAL + "evaluations: {inference: {A: 1}}", "evaluations is ['inference']"),
        (LEGAL + "evaluations: {a b: {A: 1}, a/b: {A: 1}}", "evaluations is ['a b', 'a/b']"),
        (LEGAL + "evaluations: [near]", "evaluations is ['near']"),
        (LEGAL.replace("output: out", "output: 3"), "output is 3"),
        (LEGAL.replace("output: out", "output: ''"), "output is ''"),
        (LEGAL + "start: {config: a.yaml, output: [b]}", "start.output is ['b']"),
        (LEGAL + "baselines: [[a]]", "baselines is [['a']]"),
        ("just words", "must hold a mapping"),
        (LEGAL.replace("output: out", 'output: "a\\0b"'), "output is 'a\\x00b', but must be"),
        (LEGAL + "baselines: [a, a]", "a list of different variants"),
        (LEGAL + "front: [mask AP]", "front is ['mask AP'], but must be a list of two"),
        (LEGAL + "front: [mIoU, mIoU]", "a list of two different metrics"),
        (LEGAL + "front: mask AP", "front is 'mask AP'"),
        (LEGAL + "front: [mIoU, 3]", "front is ['mIoU', 3]"),
        (LEGAL.replace("[1, 2]", "[1, 4294967296]"), "seeds is [1, 4294967296]"),
        (LEGAL.replace("[1, 2]", "['1', 2]"), "seeds is ['1', 2]"),
        (LEGAL.replace("a: {c", "report.html: {c"), "or with the ending of a file"),
        (LEGAL + "evaluations: {Inference: {A: 1}}", "none of inference, figures"),
        (LEGAL + "evaluations: {.lock: {A: 1}}", "none with a dot first"),
        (LEGAL.replace("a: {c", '"a\\nb": {c'), "printable names"),
        ("SEED: !!python/object/apply:os.system [exit]", "could not determine a constructor"),
        ("seeds: " + "[" * 3000, "nested too deeply"),
        ("_BASE_: 3", "_BASE_ is 3, but must be the name of a file"),
        ("_BASE_: comparison.yaml", "_BASE_ leads back to comparison.yaml"),
        ("_BASE_: http://a/b.yaml", "must be a file on this machine"),
        ("_BASE_: null_opts.yaml\nopts: {A: 1}", "Cannot inherit key 'opts' from base!"),
        (LEGAL.replace("a: {config: a.yaml", "a: {runs: [3, 4]"), "a list of 2 different folders"),
        (
            LEGAL.replace("a: {config: a.yaml", "a: {runs: [x, ./x]"),
            "a list of 2 different folders",
        ),
    ],
)
def test_rejected_in_one_line(write, text, named):
    path = write(text)
    with pytest.raises(InputError) as rejected:
        read_plan(path)
    line = str(rejected.value)
    assert line.startswith(path) and named in line and "\n" not in line


@pytest.mark.parametrize(
    "base, named",
    [("missing.yaml", "No such file"), ("list.yaml", "holds ['a', 'b'], but must hold a mapping")],
)
def test_a_base_that_cannot_be_read_is_named(write, base, named):
    path = write(f"_BASE_: {base}\n{LEGAL}")
    with pytest.raises(InputError) as rejected:
        read_plan(path)
    line = str(rejected.value)
    assert line.startswith(path) and path.replace("comparison.yaml", base) in line
    assert named in line
    assert "\n" not in line


def test_finished_runs():
    plan = plan_of_runs(["a=x,y", "b=z,w"], "out", ["b"])
    assert plan.seeds == (1, 2) and plan.contrasts == [("a", "b")]
    assert [str(run.folder) for run in plan.runs] == ["x", "z", "y", "w"]


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["a=x", "b"], "b: must be"),
        (["a=x", "a=y"], "a=y"),
        (["a=x,y", "b=z"], "{'a': 2, 'b': 1}"),
        (["a=x,./x"], "a=x,./x: must name different folders"),
        (["a=x,"], "a=x,: must name different folders"),
    ],
)
def test_finished_runs_rejected(arguments, named):
    with pytest.raises(InputError, match=".") as rejected:
        plan_of_runs(arguments, "out")
    assert named in str(rejected.value)


@pytest.fixture
def finished(tmp_path):
    """Makes the folder of a finished run with a SEED; returns its path."""

    def make(name, seed):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(f"SEED: {seed}\n")
        return str(folder)

    return make


def test_finished_runs_are_paired_by_their_seeds(finished, caplog):
    a, b, c = ([finished(f"{v}{seed}", seed) for seed in (5, 6)] for v in "abc")
    plan_of_runs([f"a={a[0]},{a[1]}", f"b={b[0]},{b[1]}", "old=without,config"], "out")
    assert not caplog.records
    with pytest.raises(InputError) as rejected:
        plan_of_runs([f"a={a[0]},{a[1]}", f"b={b[0]},{b[1]}", f"c={c[1]},{c[0]}"], "out")
    assert str(rejected.value) == (
        "command line: variants.c.runs has the seeds [6, 5], but must have them in the order of "
        "a, [5, 6]"
    )


def test_finished_runs_have_the_order_of_the_seeds_of_the_file(write, finished):
    runs = [finished(f"x{seed}", seed) for seed in (2, 1)]
    text = LEGAL.replace("a: {config: a.yaml}", f"a: {{runs: {runs}}}")
    with pytest.raises(
        InputError, match=r"variants.a.runs has the seeds \[2, 1\].* of b, \[1, 2\]"
    ):
        read_plan(write(text))
    read_plan(write(text.replace(str(runs), str(runs[::-1]))))


def test_seeds_that_differ_are_named_in_one_warning(finished, caplog):
    first, second = finished("first", 1), finished("second", 2)
    other, unknown = finished("other", 3), finished("unknown", -1)
    plan_of_runs([f"a={first},{second}", f"b={other},{unknown}", "c=old,older"], "out")
    (record,) = caplog.records
    line = record.getMessage()
    assert line.endswith(f"as if it were the same: {first} has 1, {other} has 3")
    assert "\n" not in line and record.levelname == "WARNING"


def test_a_folder_is_a_run_of_one_variant(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(InputError, match="link: is a run of a and of b, but must be of one"):
        plan_of_runs([f"a={tmp_path}/x", f"b={tmp_path}/link"], "out")


def test_runs_of_lazy_configs_are_refused(finished, tmp_path):
    run = finished("run", 1)
    (tmp_path / "lazy").mkdir()
    config = tmp_path / "lazy/config.yaml"
    LazyConfig.save(get_config("Shapes-InstanceSegmentation/demo_adaptive.py"), str(config))
    with pytest.raises(InputError) as rejected:
        plan_of_runs([f"a={tmp_path}/lazy", f"b={run}"], "out")
    legal = "only runs of YAML configs are compared"
    assert str(rejected.value) == f"{config}: is of a LazyConfig, but {legal}"
