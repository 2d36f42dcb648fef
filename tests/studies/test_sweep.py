"""Items are done once, whatever dies; a sweep says what was planted in it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.studies.kit.jobs import Store, in_process, run_item
from astrogate.studies.kit.ray_engine import on_ray
from astrogate.studies.path.sweep import read_sweep
from astrogate.studies.path.sweep_page import agreement, blurred_first, study_of, summary, unevenness, write_page
from tests.app.test_cli import run
from tests.checkpoints import clip_model


class Square:
    """Squares a number, and notes every time that it does; a marked one kills its process the first few times."""

    digest = "1"

    def __init__(self, folder: Path, deadly: int = -1, times: int = 1) -> None:
        self.folder, self.deadly, self.times = folder, deadly, times

    def __call__(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        note = self.folder / f"{spec['n']}-{time.monotonic_ns()}"
        note.touch()
        time.sleep(0.02)
        if spec["n"] == self.deadly and len(list(self.folder.glob(f"{spec['n']}-*"))) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"square": spec["n"] ** 2}


SPECS = [{"n": n} for n in range(12)]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def results(store: Store) -> dict[int, int]:
    found = {}
    for spec in SPECS:
        item = store.get(key_of(spec, "1"))
        assert item is not None
        found[item[0]["n"]] = item[1]["square"]
    return found


def test_items_are_done_once(notes: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = list(in_process(partial(Square, notes), SPECS, store))
    assert results(store) == {n: n * n for n in range(12)}
    assert list(in_process(partial(Square, notes), SPECS, store)) == first
    assert len(list(notes.iterdir())) == 12


def test_broken_results_are_made_again(notes: Path, tmp_path: Path) -> None:
    store, work = Store(tmp_path / "store"), Square(notes)
    key = run_item(SPECS[3], work, store)
    path = store.folder / f"{key}.json"
    whole = path.read_text()
    for broken in (whole[:-9], whole.replace("9", "8"), "", "[]"):
        path.write_text(broken)
        assert store.get(key) is None
        run_item(SPECS[3], work, store)
        assert path.read_text() == whole


@pytest.mark.slow
def test_ray_finishes_though_a_worker_is_killed(notes: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keys = list(on_ray(partial(Square, notes, 5), SPECS, store, workers=2))
    assert sorted(keys) == sorted(key_of(spec, "1") for spec in SPECS)
    assert results(store) == {n: n * n for n in range(12)}
    times = [len(list(notes.glob(f"{n}-*"))) for n in range(12)]
    assert times[5] == 2
    assert sum(times) <= 14


@pytest.mark.slow
def test_an_item_that_always_kills_is_named_and_given_up(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match=r"a worker failed at \{'n': 5\}"):
        list(on_ray(partial(Square, notes, 5, 100), SPECS[4:6], Store(tmp_path / "store"), workers=1))
    assert 2 <= len(list(notes.glob("5-*"))) <= 5


class Broken:
    """Fails as a user's mistake does."""

    digest = "1"

    def __call__(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        raise AstrogateError("no such model", "name another")


@pytest.mark.slow
def test_what_fails_on_ray_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match=r"^no such model: name another$"):
        list(on_ray(Broken, SPECS[:1], Store(tmp_path), workers=1))


def test_bad_engines(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match="1 or more"):
        list(on_ray(partial(Square, notes), SPECS, Store(tmp_path), workers=0))


def planted() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Ten prompts: the blurred path has the best InterpScore, the oracle and sharpness see that it is the worst."""
    items = []
    for prompt in range(10):
        for by, timing, interp, sharp, read, steps in (
            ("lerp", "uniform", 30.0, 0.5, 0.2, [1, 4, 9]),
            ("nlerp", "uniform", 25.0, 0.9, 0.7, [1, 4, 9]),
            ("slerp", "uniform", 24.0, 0.95, 0.8, [1, 4, 9]),
            ("slerp", "even", 24.0, 0.95, 0.8, [1, 1.5, 40]),
        ):
            scores = dict.fromkeys(("istd", "ppl", "pdv", "evenness", "jump", "ghosting"), 0.5)
            result = {
                "scores": {**scores, "interp_score": interp + prompt / 10, "sharpness": sharp},
                "noise": {"norm": 0.7 if by == "lerp" else 1.0, "ks": 0.0, "p": 1.0, "neighbours": 0.0},
                "times": [0, 1 / 3, 2 / 3, 1],
                "distances": steps,
                "jumps": [[0.9, 0.95]] if timing == "even" and prompt < 8 else [],
                "read": {"subject": [1.0, read, read, 1.0]},
            }
            items.append(({"prompt": f"p{prompt}", "seeds": [1, 2], "by": by, "timing": timing}, result))
    return items


def test_a_sweep_says_what_was_planted() -> None:
    study = study_of(planted())
    assert blurred_first(study, "interp_score").value == 1
    assert blurred_first(study, "sharpness").value == 0
    assert blurred_first(study, "ppl").value == pytest.approx(1 / 3)
    assert agreement(study, "interp_score").value == 0
    assert agreement(study, "sharpness").value == 1
    assert agreement(study, "ppl").value == 0.5
    assert study.over(lambda case: study.value(case, "lerp, uniform", "oracle")).value == pytest.approx(0.2)
    assert unevenness(study, "slerp, uniform").value == pytest.approx(0.6)
    assert unevenness(study, "slerp, even").value == pytest.approx(0.2)
    assert summary(study)["flagged"] == pytest.approx(0.8)


def test_a_sweep_from_its_file_to_its_page(tiny_folder: Path, tmp_path: Path) -> None:
    clip_model(tmp_path / "clip")
    file, page = tmp_path / "few.toml", tmp_path / "few.md"
    file.write_text(
        f'model = "{tiny_folder}"\nclip = "{tmp_path / "clip"}"\nframes = 4\nsteps = 2\n'
        'prompts = ["a dog", "a cat"]\npairs = [[1, 2]]\n'
        'ways = [["lerp", "uniform"], ["slerp", "uniform"], ["slerp", "even"]]\n'
    )
    given = ("sweep", str(file), "-o", str(tmp_path / "out"), "--device", "cpu", "--page", str(page))
    for _ in range(2):
        code, out, err = run(*given)
        assert (code, err) == (0, "")
        assert "6 paths" in out
    assert "| interp_score | high |" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["cases"] == 2


def test_a_page_of_results_that_are_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match=r"1 of 1 results are not in .*: name a folder that all workers share"):
        write_page(Store(tmp_path), ["gone"], tmp_path / "few.toml", tmp_path / "few.md")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prompts = [", "could not be read"),
        ('prompts = ["a"]\npairs = [[1, 2]]', "has no prompts, pairs or ways"),
        ('prompts = ["a"]\npairs = [[1, 1]]\nways = [["lerp", "uniform"]]', "two different seeds"),
        ('prompts = ["a"]\npairs = [[1, 2]]\nways = [["warp", "uniform"]]', "way"),
        ('prompts = ["a"]\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]\nframe = 3', "unknown frame"),
        ('prompts = "a dog"\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]', "list of texts"),
        ('prompts = ["a"]\npairs = [1, 2]\nways = [["lerp", "uniform"]]', "two different seeds"),
        ('prompts = ["a"]\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]\nsteps = "20"', "steps = '20'"),
        ('prompts = ["a"]\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]\nframes = 1', "2 to 1,000"),
    ],
)
def test_bad_files(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(AstrogateError, match=problem):
        read_sweep(file)


def test_the_shipped_sweep_is_the_seed_s_experiment() -> None:
    specs = read_sweep(Path(__file__).parents[2] / "benchmarks" / "sweeps" / "interpolation.toml")
    assert len({spec["prompt"] for spec in specs}) >= 40
    assert len({tuple(spec["seeds"]) for spec in specs}) >= 4
    assert {(spec["by"], spec["timing"]) for spec in specs} == {
        ("lerp", "uniform"), ("nlerp", "uniform"), ("slerp", "uniform"), ("slerp", "even"),
    }  # fmt: skip
    assert all(spec["frames"] == 16 for spec in specs)
