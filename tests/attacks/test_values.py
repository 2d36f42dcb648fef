"""Numbers of other libraries, the caller's own state of torch, and seeds: one value, one picture, one file."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import astrogate as ag
from astrogate.core.edit import Edit
from astrogate.core.keys import key_of
from astrogate.core.parts import Guide, Hold, Parts, Steer
from astrogate.core.seeds import generator
from astrogate.core.texts import read_text
from astrogate.core.values import number, plain, real, whole
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import SHIPPED
from astrogate.rendering.reading import read_frames
from astrogate.rendering.record import read_record

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(2)


@pytest.mark.parametrize("seven", [7, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7), 7.0, np.float32(7)])
def test_a_whole_number_is_an_int_whatever_its_library(tiny: Any, seven: Any) -> None:
    assert type(whole(seven, "seed", 0, 9)) is int
    point = tiny.point(PROMPT, seed=seven)
    assert type(point.seed) is int
    assert torch.equal(point.tensors["latents"], tiny.point(PROMPT, seed=7).tensors["latents"])
    assert type(point.with_noise(seven, draw=seven).draw) is int
    assert ag.Recipe(seven) == ag.Recipe(7)
    assert ag.Recipe(seven).hash == ag.Recipe(7).hash


@pytest.mark.parametrize("half", [0.5, np.float32(0.5), np.float64(0.5), torch.tensor(0.5), np.array(0.5)])
def test_a_number_is_a_float_whatever_its_library(tiny: Any, half: Any, tmp_path: Path) -> None:
    assert type(real(half, "scale")) is float
    recipe = ag.Recipe(2, half, eta=half)
    assert recipe == ag.Recipe(2, 0.5, eta=0.5)
    assert json.dumps(recipe.to_json())
    point = tiny.point(PROMPT)
    found = ag.contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",))
    direction = found * half
    direction.save(tmp_path / "d")
    edit = direction.at(point, window=(0, half), curve=((0, half), (1, 1)))
    edit.save(tmp_path / "e")
    moved = point.apply(edit, half)
    assert type(moved.edits[0][1]) is float
    frame = next(ag.render(tiny, [moved], recipe=RECIPE, cache=ag.FrameCache(tmp_path / "cache")))
    ag.save_png(frame.image, tmp_path / "x.png", frame=frame)
    assert Hold(half, half) == Hold(0.5, 0.5)
    assert Guide({}, half, (0, half), quantile=half).scale == Steer({}, half, (0, half)).scale == 0.5
    assert key_of(half, RECIPE) == key_of(0.5, RECIPE) or isinstance(half, torch.Tensor)


@pytest.mark.parametrize(
    "bad", ["7", b"7", None, [7], np.array([7, 8]), torch.zeros(2), 7.5, float("nan"), 1j, object()]
)
def test_what_is_no_whole_number_is_refused_in_one_line(tiny: Any, bad: Any) -> None:
    for use in (
        lambda: tiny.point(PROMPT, seed=bad),
        lambda: tiny.point(PROMPT).with_noise(0, draw=bad),
        lambda: ag.Recipe(bad),
        lambda: generator(bad),
    ):
        with pytest.raises(ag.AstrogateError) as found:
            use()
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("bad", ["1", None, [1], float("inf"), float("nan"), -(10**400), 1j])
def test_what_is_no_number_is_refused_in_one_line(tiny: Any, bad: Any) -> None:
    for use in (
        lambda: tiny.point(PROMPT).apply(Edit(Parts()), bad),
        lambda: ag.Recipe(2, bad),
        lambda: Steer({}, bad),
        lambda: Hold(bad),
    ):
        with pytest.raises(ag.AstrogateError):
            use()


def test_values_are_called_by_what_they_are() -> None:
    with pytest.raises(ag.AstrogateError, match="501 steps: choose 1 to 500"):
        whole(501, "{} steps", 1, 500, "choose 1 to 500")
    with pytest.raises(ag.AstrogateError, match="eta 2: use a finite number from 0 to 1"):
        real(2, "eta", 0, 1)
    with pytest.raises(ag.AstrogateError, match="scale 'x': use a number"):
        number("x", "scale")
    assert number(float("inf"), "limit") == float("inf")
    assert plain(Path("a/b")) == "a/b"
    with pytest.raises(TypeError):
        plain(np.zeros(3))


@pytest.mark.parametrize("seed", [2**32, 2**32 + 7, 2**63, -1])
def test_seeds_that_would_repeat_others_are_refused(tiny: Any, stack: Any, seed: int) -> None:
    point = tiny.point(PROMPT)
    for use in (
        lambda: tiny.point(PROMPT, seed=seed),
        lambda: point.with_noise(seed),
        lambda: generator(seed, "a use"),
        lambda: stack.point(PROMPT, seed=seed),
        lambda: stack.imagine([PROMPT], seeds=[seed]),
    ):
        with pytest.raises(ag.AstrogateError, match=r"from 0 to (2\*\*32 - 1|4294967295)"):
            use()
    last, first = (tiny.point(PROMPT, seed=s).tensors["latents"] for s in (2**32 - 1, 0))
    assert not torch.equal(last, first)


@contextmanager
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "state",
    [
        double,
        lambda: torch.device("meta"),
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        torch.no_grad,
    ],
    ids=["double", "another device", "inference mode", "autocast", "no gradients"],
)
def test_what_is_drawn_does_not_depend_on_the_callers_state(tiny: Any, stack: Any, state: Any) -> None:
    for model in (tiny, stack):
        plainly = model.point(PROMPT, seed=7)
        expected = next(ag.render(model, [plainly], recipe=RECIPE)).image.tobytes()
        with state():
            point = model.point(PROMPT, seed=7)
            there = next(ag.render(model, [point], recipe=RECIPE)).image.tobytes()
        assert all(torch.equal(point.tensors[k], v) for k, v in plainly.tensors.items())
        assert point.tensors["latents"].dtype == torch.float32
        assert there == expected
        assert next(ag.render(model, [point], recipe=RECIPE)).image.tobytes() == expected
    assert torch.get_default_dtype() == torch.float32


def test_paths_and_dtypes_are_taken_as_they_come(tiny_folder: Path, tmp_path: Path) -> None:
    model = load(tiny_folder, device=torch.device("cpu"), dtype=torch.float32)
    frame = next(ag.render(model, [model.point(PROMPT)], recipe=RECIPE, cache=ag.FrameCache(str(tmp_path / "c"))))
    ag.save_png(frame.image, str(tmp_path / "x.png"), frame=frame)
    assert model.name == str(tiny_folder)


@pytest.mark.parametrize("bad", [None, b"x.png", 5, 1.5, [], ("x.png",), object], ids=str)
def test_what_names_no_file_is_refused_at_every_door(tiny: Any, tmp_path: Path, bad: Any) -> None:
    frame = next(ag.render(tiny, [tiny.point(PROMPT)], recipe=RECIPE))
    doors: list[Any] = [
        lambda: ag.load(bad),
        lambda: ag.read_picture(bad),
        lambda: ag.save_png(frame.image, bad, frame=frame),
        lambda: ag.video([frame], bad),
        lambda: ag.again(bad),
        lambda: ag.FrameCache(bad),
        lambda: ag.Clip(bad),
        lambda: ag.Edit.load(bad),
        lambda: ag.Direction.load(bad),
        lambda: ag.Basis.load(bad),
        lambda: list(read_frames(bad)),
        lambda: read_record(bad),
        lambda: read_text(bad),
    ]
    for door in doors:
        with pytest.raises(ag.AstrogateError, match=r"names no|no text"):
            door()


def test_names_that_no_file_can_have_are_refused() -> None:
    for bad in ("a\0.png", "x" * 5000 + ".png", "/" + "y/" * 3000 + "z.png"):
        for door in (
            ag.read_picture,
            ag.load,
            ag.Edit.load,
            read_record,
            read_text,
            lambda name: list(read_frames(name)),
        ):
            with pytest.raises(ag.AstrogateError):
                door(bad)


def test_one_seed_stands_for_several_and_others_are_refused(tiny: Any, stack: Any) -> None:
    for model in (tiny, stack):
        assert [p.seed for p in model.points(PROMPT, 5)] == [5]
        assert [p.seed for p in model.points(PROMPT, np.arange(2))] == [0, 1]
        for bad in ([], "5", [None], [1.5], [2**32], None):
            with pytest.raises(ag.AstrogateError):
                model.points(PROMPT, bad)
    assert [p.seed for p in ag.imagine(stack, "a dog", seeds=np.uint8(3))] == [3]
    width = len(stack.point(PROMPT).tensors["image_embeds"])
    codebook = ag.fit_codebook(torch.randn(2 * width, width), rank=4)
    assert len(ag.probe(stack.point(PROMPT), codebook, torch.tensor(2))) == 1
    anything: Any = ag
    wrong: list[Any] = [
        lambda: anything.imagine(stack, 5, seeds=[1]),
        lambda: anything.imagine(stack, ["a dog"], seeds=[1, 2]),
        lambda: anything.imagine(stack, ["a dog"], seeds=[1], batch_size=0),
        lambda: anything.diff(stack, None, "a dog"),
        lambda: anything.diff(stack, "a dog", 5),
        *(partial(anything.probe, stack.point(PROMPT), codebook, bad) for bad in ([], "x", [2.5], ["2"], [None], 5)),
        *(partial(stack.point_at, bad) for bad in (None, [0.0] * width, np.zeros(width), "x")),
    ]
    for call in wrong:
        with pytest.raises(ag.AstrogateError):
            call()


def test_a_file_of_the_same_name_is_not_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("menagerie", "menagerie-64"):
        (tmp_path / name).write_text("x")
        assert load(name, device="cpu").name == name
    (tmp_path / "menagerie").unlink()
    (tmp_path / "menagerie").mkdir()
    assert load(SHIPPED, device="cpu").name == SHIPPED


@pytest.mark.parametrize("stream", [None, "closed"])
def test_it_draws_without_a_console(tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stream: Any) -> None:
    other = None
    if stream is not None:
        other = (tmp_path / "x").open("w")
        other.close()
    monkeypatch.setattr(sys, "stderr", other)
    assert len(list(ag.render(tiny, [tiny.point(PROMPT)], recipe=RECIPE, progress=True))) == 1


def test_threads_that_share_a_model_draw_what_each_draws_alone(tiny: Any) -> None:
    points = [tiny.point(PROMPT, seed=i) for i in range(4)]
    alone = [next(ag.render(tiny, [p], recipe=RECIPE)).image.tobytes() for p in points]
    found: dict[int, bytes] = {}

    def draw(i: int) -> None:
        found[i] = next(ag.render(tiny, [points[i]], recipe=RECIPE)).image.tobytes()

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(4)] == alone


def test_what_is_of_another_kind_is_one_line(tiny: Any, clip: Any, tmp_path: Path) -> None:
    """One thing for several is taken; another kind of thing is refused, and named."""
    point, recipe = tiny.point("a fat dog"), ag.Recipe(2)
    direction = ag.contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",))
    (frame,) = ag.render(tiny, point, recipe=recipe)
    anything: Any = ag
    wrong: list[Any] = [
        lambda: point.apply(direction),
        lambda: anything.strip(tiny, point, direction, n=1, recipe=recipe),
        lambda: anything.strip(tiny, [], direction.at(point), n=1),
        lambda: anything.strip(tiny, "a dog", direction.at(point), n=1),
        lambda: list(anything.render(tiny, "a dog", recipe=recipe)),
        lambda: list(anything.render(tiny, 5, recipe=recipe)),
        lambda: list(anything.render(tiny, point, recipe=4)),
        lambda: list(anything.render(tiny, point, recipe=recipe, cache=str(tmp_path))),
        lambda: anything.FrameCache(None),
        lambda: anything.walk(point, None),
        lambda: anything.walk([point, point]),
        lambda: anything.walk(point, tiny.point("a fat dog", seed=2), by=["slerp"]),
        lambda: anything.contrast(tiny, None),
        lambda: anything.contrast(tiny, 5, "thin"),
        lambda: anything.contrast(tiny, "fat", "thin", template=None),
        lambda: anything.contrast(tiny, "fat", "thin", media=["a" * 10**6]),
        lambda: anything.toward(tiny, 5),
        lambda: anything.style(tiny, point, 5),
        lambda: direction.at(point, on=anything),
        lambda: anything.Direction({"end": [1.0]}, tiny.fingerprint),
        lambda: anything.Direction({}, tiny.fingerprint),
        lambda: direction + anything,
        lambda: anything.lerp([1.0], [2.0], 0.5),
        lambda: anything.slerp(torch.ones(3), torch.arange(3.0), "x"),
        lambda: anything.lerp(torch.ones(3), torch.ones(3), math.nan),
        lambda: anything.mix([torch.ones(3), torch.zeros(3)], [math.nan, 1]),
        lambda: anything.mix([torch.ones(3), torch.zeros(3)], [1, 1], correlations=torch.eye(3)),
        lambda: anything.fit_codebook(torch.full((20, 3), math.nan)),
        lambda: anything.fit_codebook(torch.randn(20, 3), rank=2).encode(torch.full((1, 3), math.nan)),
        lambda: anything.fit_codebook(torch.randn(20, 3), buckets=1),
        lambda: tiny.latents(torch.full((1, 3, 16, 16), math.nan)),
        lambda: tiny.latents(np.zeros((1, 3, 16, 16))),
        lambda: tiny.epsilon([point], torch.full((1, *point.tensors["latents"].shape), math.nan), 1),
        lambda: tiny.epsilon([point], point.tensors["latents"][None], 10**6),
        lambda: tiny.levels(0),
        lambda: tiny.encode(["a dog"], padding="foo"),
        lambda: anything.invert(tiny, torch.rand(1, 3, 16, 16), [point], iterations=0.5),
        lambda: anything.vary(point, 0),
        lambda: anything.fitted(frame.image, -1, 16),
        lambda: anything.video([5], tmp_path / "x.gif"),
        lambda: list(anything.crop_views(frame, "3")),
        lambda: anything.Clip("x" * 300),
        lambda: anything.load("x" * 300),
        lambda: anything.Edit(None),
    ]
    for i, call in enumerate(wrong):
        with pytest.raises(ag.AstrogateError) as told:
            call()
        assert "\n" not in str(told.value), i
    assert anything.to_tensor(frame).shape == anything.to_tensor([frame]).shape
    assert anything.sheet(frame).size == anything.sheet([frame]).size
    assert len(anything.invert(tiny, torch.rand(1, 3, 16, 16), point, recipe=ag.Recipe(2, 1.0), iterations=1)) == 1
    assert [p.seed for p in anything.vary(point, np.uint8(3), seed=np.uint8(254))] == [254, 255, 256]


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float16, torch.bfloat16])
def test_numbers_of_few_bits_are_numbers(tiny: Any, tmp_path: Path, kind: torch.dtype) -> None:
    vector = (
        (30_000 * torch.linspace(-1, 1, 32)).to(torch.float16) if kind == torch.float16 else torch.linspace(-1, 1, 32)
    )
    made = ag.Direction({"end": vector.to(kind)}, tiny.fingerprint, "few bits")
    made.save(tmp_path / "d.safetensors")
    read = ag.Direction.load(tmp_path / "d.safetensors")
    assert torch.equal((read + read).vectors["end"], 2 * vector.to(kind).float())
    assert float(read.vectors["end"].norm()) < math.inf
    basis = ag.Basis(("a", "b"), torch.tensor([1.0, 2.0]).to(kind), {"x": torch.eye(2).to(kind)}, {"x": 1.0}, 2, "")
    assert basis.sums()["x"].isfinite().all()
