"""The command line as a person meets it: pictures, or one line that names the problem and the remedy, and exit 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from astrogate.app.cli.main import COMMANDS, main
from astrogate.app.cli.reference import below
from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe

SLIDE = ("slide", "a painting of a dog", "--toward", "fat", "--away", "thin", "--steps", "2", "--device", "cpu")


def run(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, args)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_slide_draws_a_strip_with_its_record(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "fat.png"
    code, out, err = run(
        *SLIDE, "--model", str(tiny_folder), "-n", "5", "--range=-1:1", "--seed", "7", "-o", str(target)
    )
    assert (code, err) == (0, "")
    assert "5 pictures" in out
    image = Image.open(target)
    kept = json.loads(image.text["astrogate"])
    assert kept["scales"] == [-1, -0.5, 0, 0.5, 1]
    assert kept["along"][0]["direction"]["toward"] == "fat"
    assert kept["request"]["toward"] == "fat"
    assert kept["point"]["seed"] == 7
    assert kept["recipe"]["num_inference_steps"] == 2


def test_slide_draws_one_row_per_seed(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    code, _, _ = run(*SLIDE, "--model", str(tiny_folder), "-n", "3", "--seeds", "2", "--on", "dog", "-o", str(target))
    assert code == 0
    assert json.loads(Image.open(target).text["astrogate"])["seeds"] == [0, 1]


BAD = {
    "an empty prompt": (("slide", " ", "--toward", "fat", "--away", "thin"), "empty"),
    "scales that are not numbers": ((*SLIDE, "--range=a:b"), "not a range"),
    "scales that are no numbers": ((*SLIDE, "--range=nan:1"), "a finite number"),
    "absurd scales": ((*SLIDE, "--range=-1e9:1e9"), "choose a scale there"),
    "no pictures": ((*SLIDE, "-n", "0"), "n 0: use 1 or more"),
    "no seeds": ((*SLIDE, "--seeds", "0"), "seeds 0: use 1 or more"),
    "a negative seed": ((*SLIDE, "--seed", "-1"), "seed -1"),
    "equal poles": (("slide", "a dog", "--toward", "fat", "--away", "fat"), "both poles"),
    "no steps": ((*SLIDE[:-4], "--steps", "0"), "0 steps"),
    "a bad guidance": ((*SLIDE, "--guidance", "-3"), "guidance -3"),
    "a bad size": ((*SLIDE, "--size", "13"), "13 pixels"),
    "a batch of none": ((*SLIDE, "--batch-size", "0"), "batch-size 0: use 1 or more"),
    "a bad dtype": ((*SLIDE, "--dtype", "int8"), "'int8' is not one of"),
    "an unknown scheduler": ((*SLIDE, "--scheduler", "Wishful"), "is not one that this model draws by"),
    "an unknown device": ((*SLIDE[:-2], "--device", "toaster"), "toaster"),
    "a word that is not there": ((*SLIDE, "--on", "zebra"), "no word 'zebra'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(case: str, tiny_folder: Path, tmp_path: Path) -> None:
    args, words = BAD[case]
    target = tmp_path / "out.png"
    code, out, err = run(*args, "--model", str(tiny_folder), "-o", str(target))
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert words in err
    assert err.startswith("astrogate: ")
    assert not list(tmp_path.iterdir())


def test_unknown_and_unsafe_models(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (tmp_path / "model" / "None.py").write_text("raise SystemExit(99)")
    for name, words in (("no-such-model", "unknown model"), (str(tmp_path / "model"), "code in a model folder")):
        code, _, err = run(*SLIDE, "--model", name, "-o", str(tmp_path / "x.png"))
        assert code == 2
        assert words in err
        assert len(err.strip().splitlines()) == 1


def test_unwritable_output(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for target in (tmp_path / "folder.png", tmp_path / "file", tmp_path / "file" / "x.png"):
        code, _, err = run(*SLIDE, "--model", str(tiny_folder), "-o", str(target))
        assert code == 2
        assert "cannot write" in err


def test_warnings_are_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    prompt = "dog " * 14 + "horse horse"
    args = ("slide", prompt, *SLIDE[2:], "--model", str(tiny_folder), "-n", "1", "-o", str(tmp_path / "x.png"))
    code, _, err = run(*args)
    assert code == 0
    assert err.startswith("astrogate: warning: the prompt is")
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("slide", "dog " * 20, "--toward", "cat"), "the word to go away from is missing"),
        (("slide", "a dog"), "no direction is named"),
        (("style", "a dog"), "style misses 'phrase': give it: The style"),
        ((*SLIDE, "-n", "abc"), "n 'abc': give a whole number"),
        ((*SLIDE, "--curve", "0.5"), "not a curve"),
        ((*SLIDE, "--also", "tall:short"), "has no scale"),
    ],
)
def test_usage_errors_are_one_line(args: tuple[str, ...], words: str) -> None:
    code, _, err = run(*args)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_a_process_prints_one_line_as_well(tiny_folder: Path, tmp_path: Path) -> None:
    """The libraries add nothing, not even on a prompt that is too long and a word that is not there."""
    args = [
        "slide",
        "dog " * 20,
        *SLIDE[2:],
        "--model",
        str(tiny_folder),
        "--seeds",
        "2",
        "-o",
        str(tmp_path / "x.png"),
    ]
    start = [sys.executable, "-m", "astrogate"]
    done = subprocess.run([*start, *args], capture_output=True, text=True, check=True)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "was cut off" in done.stderr
    done = subprocess.run([*start, *args, "--on", "zebra"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("astrogate: the prompt has no word 'zebra'")


def test_odd_outputs_are_refused(tiny_folder: Path) -> None:
    for target in ("/dev/null", f"/tmp/{'x' * 300}.png"):
        code, _, err = run(*SLIDE, "--model", str(tiny_folder), "-o", target)
        assert code == 2
        assert len(err.strip().splitlines()) == 1
    assert Path("/dev/null").is_char_device()


def test_help_names_every_command() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert [name for name in COMMANDS if re.search(rf"^  {name} ", out, re.M)] == list(below(main))


def test_the_help_says_of_a_command_what_it_says_itself() -> None:
    own = {name: command.get_short_help_str(limit=200) for name, command in below(main).items()}
    assert own == {name: brief for name, (_, brief) in COMMANDS.items()}
    assert list(COMMANDS) == sorted(COMMANDS)


def options(command: click.Command, name: str = "astrogate") -> Iterator[tuple[str, click.Parameter]]:
    """Every option of a command and of those below it, with the command's whole name."""
    yield from ((name, param) for param in command.params)
    for part, other in below(command).items():
        yield from options(other, f"{name} {part}")


def test_what_is_written_stays_in_the_current_folder() -> None:
    """No default leads into the package or into a checkout's documents."""
    named = [(name, p.default) for name, p in options(main) if {"--output", "--run", "--pack"} & {*p.opts}]
    written = [(name, default) for name, default in named if isinstance(default, str | Path)]
    assert len(written) > 12
    for name, default in written:
        assert not Path(default).is_absolute(), name
        assert Path(default).parts[:1] not in {("docs",), ("src",), ("..",)}, name


def test_unknown_stage_is_refused() -> None:
    code, _, err = run("train", "menagerie", "--stage", "everything")
    assert code == 2
    assert "unknown stage 'everything'" in err


def test_a_place_for_the_packed_model_is_looked_at_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrogate.train.world.run.train_menagerie", lambda *args, **given: pytest.fail("it trains"))
    (tmp_path / "full").mkdir()
    for path, said in ((tmp_path / "full" / "note.txt", "is no folder"), (tmp_path / "full", "holds something else")):
        (tmp_path / "full" / "note.txt").write_text("mine")
        code, _, err = run("train", "menagerie", "--pack", str(path))
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"{path} {said}" in err


@pytest.mark.parametrize(
    ("given", "dtype"),
    [((), "bfloat16"), (("--precise",), "float32"), (("--dtype", "float16", "--precise"), "float16")],
)
def test_leakage_is_measured_in_what_is_asked_for(
    given: tuple[str, ...], dtype: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(model: object, reader: object, cells: object, recipe: Recipe, *_: object) -> None:
        raise AstrogateError(f"drawn in {recipe.dtype}", "stop here")

    study = "astrogate.studies.edit.leaderboard"
    monkeypatch.setattr(f"{study}.readers", lambda *args, offline: (None, None))
    monkeypatch.setattr(f"{study}.bench_of", measured)
    using = ("--model", str(tiny_folder), "--device", "cpu", "-o", str(tmp_path / "page.md"))
    assert f"drawn in {dtype}:" in run("bench", "leakage", *given, *using)[2]


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return set(done.stdout.split())


def test_importing_is_light() -> None:
    """Neither the package nor its command line loads the heavy libraries."""
    heavy = {"diffusers", "transformers", "torch", "fastapi", "ray", "scipy", "PIL"}
    assert not modules_after("import astrogate") & heavy
    assert not modules_after("import astrogate.app.cli.reference as r; r.below(r.main)") & heavy
    helped = modules_after("from astrogate.app.cli.main import main as m; import click; m.get_help(click.Context(m))")
    assert "click" in helped
    assert not helped & {*heavy, "pydantic"}


def test_public_names_stay_what_they_are() -> None:
    """No name turns into the subpackage that holds it."""
    import types

    import astrogate

    for _ in range(2):
        for name in astrogate.__all__:
            assert not isinstance(getattr(astrogate, name), types.ModuleType), name
    assert astrogate.__version__
    with pytest.raises(AttributeError):
        astrogate.nothing  # noqa: B018
