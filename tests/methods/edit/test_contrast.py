"""Laws of directions: a value with an algebra; the complete grid's mean; scale 0 is the point itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Steer
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.scores import auc
from astrogate.methods.edit.contrast import contrast, states_by_role
from astrogate.ops.contrast import (
    landings,
    main_effects,
    mean_difference,
    project_out,
    standard_error,
    whiten,
)
from tests.checkpoints import edit_of, made

GRID = {"media": ("painting", "photo"), "subjects": ("dog", "cat", "horse")}


def test_a_word_that_is_the_subject_too_is_told_from_it(tiny: Model) -> None:
    segment = tiny.segments("a photo of a dog dog")[0]
    first, last = segment.find("dog"), segment.find("dog", last=True)
    assert first is not None
    assert last is not None
    assert first < last


def test_contrast_is_the_mean_over_the_grid_one_prompt_at_a_time(tiny: Model) -> None:
    direction = contrast(tiny, "fat", "thin", **GRID)
    total = torch.zeros(32)
    for m in GRID["media"]:
        for s in GRID["subjects"]:
            states = []
            for word in ("fat", "thin"):
                encoded = tiny.encode([f"a {m} of a {word} {s}"])
                states.append(encoded["prompt_embeds"][0, int(encoded["end"][0])])
            total += (states[0] - states[1]) / 6
    assert torch.allclose(direction.vectors["end"], total, atol=1e-6)


def test_opposite_contrast_is_the_negative(tiny: Model) -> None:
    there, back = contrast(tiny, "fat", "thin", **GRID), contrast(tiny, "thin", "fat", **GRID)
    assert torch.allclose(there.vectors["end"], (-back).vectors["end"], atol=1e-7)


def test_algebra(tiny: Model) -> None:
    a, b = contrast(tiny, "fat", "thin", **GRID), contrast(tiny, "happy", "sad", **GRID)
    v = a.vectors["end"]
    assert torch.equal((a - a).vectors["end"], torch.zeros_like(v))
    assert torch.equal((2 * a).vectors["end"], 2 * v)
    assert torch.allclose((a + b - b).vectors["end"], v, atol=1e-6)
    assert (a + b).origin["of"] == [a.origin, b.origin]
    assert (2 * (3 * a)).name == "2 * (3 * (fat - thin))"


def test_directions_of_different_models_do_not_add(tiny: Model) -> None:
    a = contrast(tiny, "fat", "thin", **GRID)
    with pytest.raises(AstrogateError, match="different models"):
        a + Direction(a.vectors, "another")
    with pytest.raises(AstrogateError, match="roles"):
        a + Direction({"subject": a.vectors["end"]}, a.model)


def test_zero_directions_change_nothing(tiny: Model) -> None:
    point, recipe = tiny.point("a dog", seed=3), Recipe(num_inference_steps=3)
    a = contrast(tiny, "fat", "thin", **GRID)
    base = tiny.denoise([point], recipe)
    for zero in (a * 0.0, a - a):
        assert torch.equal(tiny.denoise([point.apply(zero.at(point))], recipe), base)


def moved(edit: Edit) -> torch.Tensor:
    """What an edit adds to the text states at scale 1."""
    (steer,) = edit.above.steers
    return steer.scale * steer.vectors["prompt_embeds"]


def test_an_edit_spares_the_first_token_and_finds_words(tiny: Model) -> None:
    point, a = tiny.point("a fat dog"), contrast(tiny, "fat", "thin", **GRID)
    states = moved(a.at(point))
    assert torch.equal(states[0], torch.zeros(32))
    assert torch.equal(states[1:], a.vectors["end"].expand(15, 32))
    on = moved(a.at(point, on="dog"))
    assert torch.equal(on.abs().sum(1) > 0, torch.arange(16) == 3)


def test_an_edit_aligns_by_role(tiny: Model) -> None:
    """The prompt "a fat dog" is begin, three words at 1 to 3, the end at 4, and padding up to 16."""
    point = tiny.point("a fat dog")
    a = Direction(
        {role: torch.full((32,), v) for role, v in (("subject", 1.0), ("end", 2.0), ("padding", 3.0))}, point.model
    )
    states = [moved(a.at(point, **options))[:, 0].tolist() for options in (
        {}, {"roles": ("end",)}, {"on": "fat"}, {"on": "fat", "roles": ("subject", "padding")}
    )]  # fmt: skip
    assert states[0] == [0, 1, 1, 1, 2] + [3] * 11
    assert states[1] == [0, 0, 0, 0, 2] + [0] * 11
    assert states[2] == [0, 0, 1, 0, 0] + [0] * 11
    assert states[3] == [0, 0, 1, 0, 0] + [3] * 11
    with pytest.raises(AstrogateError, match="roles"):
        a.at(point, roles=("middle",))
    with pytest.raises(AstrogateError, match="moves nothing in the roles padding: choose among its own: subject"):
        Direction({"subject": torch.ones(32)}, point.model).at(point, roles=("padding",))
    with pytest.raises(AstrogateError, match="no pooled text"):
        Direction({"pooled": torch.ones(32)}, point.model).at(point)


def test_an_edit_says_when_and_in_which_half_it_acts_and_where_it_belongs(tiny: Model) -> None:
    point, a = tiny.point("a fat dog"), contrast(tiny, "fat", "thin", **GRID)
    options = {"window": (0.2, 0.9), "curve": ((0.25, 0.0), (0.75, 1.0)), "half": "both"}
    edit = replace(a, calibration=(-3.0, 1.5)).at(point, on="dog", **options)
    steer = edit.above.steers[0]
    assert {name: getattr(steer, name) for name in options} == options
    assert (edit.model, edit.segments, edit.name) == (tiny.fingerprint, point.segments, a.name)
    assert (edit.calibration, edit.range) == ((-3.0, 1.5), (-1.0, 1.0))
    assert edit.origin == {"direction": a.origin, "on": "dog", "roles": ["subject"]}
    with pytest.raises(AstrogateError, match="another prompt"):
        tiny.point("a fat cat").apply(edit)


def test_bad_contrasts_are_refused(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="both poles"):
        contrast(tiny, "fat", " FAT")
    with pytest.raises(AstrogateError, match="empty"):
        contrast(tiny, "fat", "")


def test_a_space_that_the_model_lacks_is_refused(tiny: Model) -> None:
    point = tiny.point("a dog")
    with pytest.raises(AstrogateError, match="pooled_prompt_embeds"):
        tiny.denoise([point.apply(edit_of(Steer({"pooled_prompt_embeds": torch.zeros(4)})))], Recipe(2))


def test_mean_difference_checks_shapes() -> None:
    with pytest.raises(AstrogateError, match="shapes"):
        mean_difference(torch.zeros(3, 2), torch.zeros(4, 2))


def test_every_role_has_its_own_mean_difference(tiny: Model) -> None:
    """Against the states of the two words' prompts, taken one by one at the positions that the roles name."""
    direction = contrast(tiny, "fat", "thin", media=("photo",), subjects=("dog",), roles=("subject", "end", "padding"))
    (fat,), (thin,) = (tiny.encode([f"a photo of a {w} dog"])["prompt_embeds"] for w in ("fat", "thin"))
    difference = fat - thin
    assert torch.allclose(direction.vectors["subject"], difference[6], atol=1e-6)
    assert torch.allclose(direction.vectors["end"], difference[7], atol=1e-6)
    assert torch.allclose(direction.vectors["padding"], difference[8:].mean(0), atol=1e-6)
    assert "quality" in direction.origin


def test_a_word_against_none(tiny: Model) -> None:
    direction = contrast(tiny, "fat", media=("photo",), subjects=("dog",))
    ends = [
        tiny.encode([text])["prompt_embeds"][0, i] for text, i in (("a photo of a fat dog", 7), ("a photo of a dog", 6))
    ]
    assert torch.allclose(direction.vectors["end"], ends[0] - ends[1], atol=1e-6)
    assert direction.name == "fat - none"


def test_a_role_that_the_word_cannot_reach_stays_zero(tiny: Model) -> None:
    options = {**GRID, "template": "a {medium} of a {subject} {word}", "roles": ("subject", "end")}
    direction = contrast(tiny, "happy", **options)
    assert not direction.vectors["subject"].any()
    assert direction.vectors["end"].any()
    states = moved(direction.at(tiny.point("a dog")))
    assert states.abs().sum(1).nonzero().flatten().tolist() == list(range(3, 16))


def test_nuisance_is_removed_and_the_rest_kept(tiny: Model) -> None:
    plain, projected, whitened = (
        contrast(tiny, "fat", "thin", **GRID, nuisance=n) for n in (None, "project", "whiten")
    )
    states = [
        states_by_role(tiny, [f"a {m} of a {w} {s}" for s in GRID["subjects"] for m in GRID["media"]],
                       [s for s in GRID["subjects"] for _ in GRID["media"]], ("end",))["end"].reshape(3, 2, -1)
        for w in ("fat", "thin")
    ]  # fmt: skip
    effects = main_effects(*states)
    before, after, shrunk = (float((effects @ d.vectors["end"]).abs().max()) for d in (plain, projected, whitened))
    assert after < 1e-5 * before
    assert after < shrunk < before
    assert torch.allclose(projected.vectors["end"] @ plain.vectors["end"], projected.vectors["end"].square().sum())


def test_project_out_agrees_with_least_squares() -> None:
    g = torch.Generator().manual_seed(0)
    effects, vector = torch.randn(5, 12, generator=g), torch.randn(12, generator=g)
    effects = torch.cat([effects, effects.sum(0, keepdim=True)])
    fitted = effects[:5].T @ torch.linalg.lstsq(effects[:5].T, vector[:, None]).solution
    assert torch.allclose(project_out(vector, effects), vector - fitted[:, 0], atol=1e-5)
    assert torch.equal(project_out(vector, torch.zeros(3, 12)), vector)
    assert torch.equal(whiten(vector, torch.zeros(3, 12)), vector)


def test_standard_error_is_that_of_repeated_draws() -> None:
    g = torch.Generator().manual_seed(0)
    truth = torch.randn(8, generator=g)
    means = torch.stack([(truth + torch.randn(50, 8, generator=g)).mean(0) for _ in range(400)])
    spread = float(means.var(0).sum().sqrt() / truth.norm())
    p = truth + torch.randn(50, 8, generator=g)
    assert standard_error(p, torch.zeros(50, 8)) == pytest.approx(spread, rel=0.25)


def test_poles_land_apart_only_where_there_is_a_signal() -> None:
    g = torch.Generator().manual_seed(0)
    noise = [torch.randn(12, 12, 16, generator=g) for _ in range(2)]
    shift = 3 * torch.nn.functional.one_hot(torch.tensor(2), 16)
    for p, low, high in ((noise[0] + shift, 0.9, 1.0), (noise[0], 0.3, 0.7)):
        there, back = landings(p, noise[1])
        assert low < auc(torch.cat([there, back]), [True] * 144 + [False] * 144) < high


def test_bad_grids_are_refused(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="roles"):
        contrast(tiny, "fat", "thin", roles=("middle",))
    with pytest.raises(AstrogateError, match="empty"):
        contrast(tiny, "fat", "thin", subjects=())
    with pytest.raises(AstrogateError, match="does not contain"):
        contrast(tiny, "fat", "thin", **GRID, template="a {medium} of a {word} cow", roles=("subject",))
    with pytest.raises(AstrogateError, match=r"encode alike|both poles"):
        contrast(tiny, "fat fat", "fat  fat", **GRID)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nuisance": "foo"}, "nuisance 'foo' is unknown: choose project or whiten"),
        ({"roles": ()}, "no role is named: use subject, end"),
        ({"template": "a {medium} of a {word.x} {subject}"}, "can't be filled in: write one like"),
        ({"template": "a {medium} of a {word[x]} {subject}"}, "can't be filled in: write one like"),
        ({"template": "a {medium} of a {subject}"}, "has no {word}: write one like"),
    ],
)
def test_bad_options_are_refused_before_anything_is_encoded(
    tiny: Model, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(type(tiny), "encode", lambda *args, **given: pytest.fail("it encodes"))
    with pytest.raises(AstrogateError, match=re.escape(said)):
        contrast(tiny, "fat", "thin", **{**GRID, **options})


def test_orthogonal_to_leaves_nothing_along_the_others(tiny: Model) -> None:
    a, b, c = (contrast(tiny, *w, **GRID) for w in (("fat", "thin"), ("happy", "sad"), ("dog", "cat")))
    rest = a.orthogonal_to(b, c)
    v = rest.vectors["end"]
    for other in (b, c):
        assert abs(float(v @ other.vectors["end"])) < 1e-5 * float(v.norm() * other.vectors["end"].norm())
    assert torch.allclose(rest.orthogonal_to(b, c, 2 * b).vectors["end"], v, atol=1e-6)
    assert float(v @ a.vectors["end"]) == pytest.approx(float(v @ v), rel=1e-4)
    with pytest.raises(AstrogateError, match="nothing"):
        (b + c).orthogonal_to(b, c)
    with pytest.raises(AstrogateError, match="different models"):
        a.orthogonal_to(replace(b, model="another"))


def test_calibrated_scales_reach_their_strengths(tiny: Model) -> None:
    point, a = tiny.point("a dog"), contrast(tiny, "fat", "thin", **GRID)
    edit = replace(a, calibration=(-3.0, 1.5)).at(point)
    assert [point.apply(edit, s).steers[0].scale for s in (-1, -0.5, 0.5, 1)] == [-3, -1.5, 0.75, 1.5]
    assert point.apply(edit, 0) is point
    with pytest.raises(AstrogateError, match="calibration"):
        replace(a, calibration=(1.0, 2.0))


def test_a_saved_direction_gives_the_same_pictures(model: Model, family: str, tmp_path: Path) -> None:
    a = replace(contrast(model, "fat", "thin", **GRID, roles=("subject", "end")), calibration=(-2.0, 1.0))
    a.save(tmp_path / "fat.safetensors")
    b = Direction.load(tmp_path / "fat.safetensors")
    assert (b.name, b.model, b.origin, b.calibration) == (a.name, a.model, a.origin, a.calibration)
    point = made(model, family, "a dog", 4)
    pictures = [model.denoise([point.apply(d.at(point), 0.8)], Recipe(3)) for d in (a, b)]
    assert torch.equal(*pictures)


def test_files_that_are_no_directions_are_refused(tiny: Model, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "fat.safetensors"
    contrast(tiny, "fat", "thin", **GRID).save(path)
    with pytest.raises(AstrogateError, match="not a direction"):
        Direction.load(tiny_folder / "unet" / "diffusion_pytorch_model.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(AstrogateError, match="cut off"):
        Direction.load(path)
    with pytest.raises(AstrogateError, match="does not exist"):
        Direction.load(tmp_path / "no.safetensors")
