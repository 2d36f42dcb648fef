"""Laws of what is done with image embeddings: encode, vary, blend, textdiff, probe, prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.blend import blend
from astrogate.methods.encode import encode
from astrogate.methods.prior import prior
from astrogate.methods.probe import probe
from astrogate.methods.textdiff import textdiff
from astrogate.methods.vary import vary
from astrogate.models.load import load
from astrogate.models.unclip import UnCLIP
from astrogate.ops.quantise import fit_codebook
from tests.unclip_checkpoints import WIDTH, kandinsky, ours

STEPS = 25


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> UnCLIP:
    folder = tmp_path_factory.mktemp("ours")
    ours(folder)
    model = load(str(folder), device="cpu")
    assert isinstance(model, UnCLIP)
    return model


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def points(stack: UnCLIP, pictures: torch.Tensor) -> Any:
    return encode(stack, pictures, num_inference_steps=STEPS, iterations=10)


def drawn(stack: UnCLIP, *points: Any, eta: float = 0.0) -> torch.Tensor:
    return stack.denoise(points, Recipe(STEPS, 1.0, eta=eta))


def test_an_encoded_picture_is_its_reconstruction(stack: UnCLIP, points: Any, pictures: torch.Tensor) -> None:
    """The denoiser is random, so ten iterations are not exact; they are far closer than the plain inverse."""
    plain = encode(stack, pictures, num_inference_steps=STEPS, iterations=1)
    target = stack.latents(pictures)
    missed = [float((drawn(stack, *found) - target).abs().median()) for found in (plain, points)]
    assert missed[1] < missed[0] / 5
    for point, z in zip(points, stack.embed(pictures), strict=True):
        assert torch.equal(point.tensors["image_embeds"], z)
        assert point.origin["inverted"]["iterations"] == 10


def test_variations_differ_by_eta_and_seed_alone(stack: UnCLIP, points: Any) -> None:
    several = vary(points[0], 3, seed=5)
    still, noisy = drawn(stack, *several), drawn(stack, *several, eta=1.0)
    assert torch.allclose(still[0], still[2], atol=1e-4)
    assert not torch.allclose(noisy[0], noisy[2], atol=1e-2)
    assert torch.equal(noisy, drawn(stack, *vary(points[0], 3, seed=5), eta=1.0))
    with pytest.raises(AstrogateError, match="1 or more"):
        vary(points[0], 0)


def test_blends_reach_both_ends(stack: UnCLIP, points: Any) -> None:
    a, b = points
    way = blend(a, b)
    assert way(0.0) is a
    assert way(1.0) is b
    z = way(0.3).tensors["image_embeds"]
    assert float(z.norm()) == pytest.approx(1, abs=1e-5)
    expected = 0.7 * a.tensors["latents"].norm() + 0.3 * b.tensors["latents"].norm()
    assert float(way(0.3).tensors["latents"].norm()) == pytest.approx(float(expected), rel=1e-5)
    fixed = blend(a, b, seed=4)
    for u in (0.0, 0.5, 1.0):
        assert torch.equal(fixed(u).tensors["latents"], stack.point_at(z, seed=4).tensors["latents"])
    assert torch.equal(fixed(1.0).tensors["image_embeds"], b.tensors["image_embeds"])


def test_a_text_diff_turns_on_the_sphere(stack: UnCLIP, points: Any) -> None:
    point, (before, after) = points[0], ("a dog", "a cat")
    z = point.tensors["image_embeds"]
    assert torch.equal(textdiff(stack, point, before, after, 0.0).tensors["image_embeds"], z)
    z_t0, z_t = stack.embed_text([before, after])
    difference = (z_t - z_t0) / (z_t - z_t0).norm()
    for base, goal in ((before, difference), ("", z_t)):
        full = textdiff(stack, point, base, after, 1.0).tensors["image_embeds"]
        assert torch.allclose(full, goal, atol=1e-6)
        part = textdiff(stack, point, base, after, 0.4)
        assert float(part.tensors["image_embeds"].norm()) == pytest.approx(1, abs=1e-5)
        turned = torch.acos((part.tensors["image_embeds"] @ z).clamp(-1, 1)) / torch.acos((goal @ z).clamp(-1, 1))
        assert float(turned) == pytest.approx(0.4, abs=1e-4)
    assert torch.equal(part.tensors["latents"], point.tensors["latents"])
    assert part.origin["textdiff"] == {"before": "", "after": after, "theta": 0.4}


def test_a_probe_at_full_rank_is_the_picture(points: Any) -> None:
    codebook = fit_codebook(torch.randn(200, WIDTH), rank=WIDTH)
    low, full = probe(points[0], codebook, [3, WIDTH])
    z = points[0].tensors["image_embeds"]
    assert torch.allclose(full.tensors["image_embeds"], z, atol=1e-5)
    seen = codebook.project(z[None], 3)[0]
    assert torch.allclose(low.tensors["image_embeds"], seen / seen.norm(), atol=1e-5)
    for ranks in ([], [0], [WIDTH + 1]):
        with pytest.raises(AstrogateError, match="choose from 1 to"):
            probe(points[0], codebook, ranks)


def test_priors_make_points(stack: UnCLIP) -> None:
    prompts, seeds = ["a dog", "a fat cat"], [3, 4]
    for kind in ("diffusion", "ar", "none"):
        made = prior(stack, prompts, seeds=seeds, kind=kind)
        again = stack.imagine(prompts, seeds=seeds, kind=kind)
        for point, prompt, seed, z in zip(made, prompts, seeds, again, strict=True):
            assert torch.equal(point.tensors["image_embeds"], z)
            assert point.origin["prompt"] == prompt
            assert point.origin["seed"] == seed
    bare, captioned = (prior(stack, prompts, seeds=seeds, captioned=c)[0].tensors for c in (False, True))
    assert torch.equal(bare["prompt_embeds"], bare["negative_prompt_embeds"])
    assert not torch.equal(bare["prompt_embeds"], captioned["prompt_embeds"])


def test_bad_input_is_named(stack: UnCLIP, points: Any, pictures: torch.Tensor, tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="no image embedding"):
        encode(tiny, pictures)
    with pytest.raises(AstrogateError, match="3 prompts for 2 pictures"):
        encode(stack, pictures, prompts=["a"] * 3)
    for theta in (-0.1, 1.1, float("nan")):
        with pytest.raises(AstrogateError, match="theta"):
            textdiff(stack, points[0], "a dog", "a cat", theta)
    with pytest.raises(AstrogateError, match="empty"):
        textdiff(stack, points[0], "a dog", " ", 0.3)
    with pytest.raises(AstrogateError, match="say the same"):
        textdiff(stack, points[0], "a dog", "a dog", 0.3)
    with pytest.raises(AstrogateError, match="no image embedding"):
        probe(tiny.point("a dog"), fit_codebook(torch.randn(200, WIDTH)), [1])


def test_points_of_two_stacks_do_not_mix(points: Any, tmp_path: Path) -> None:
    kandinsky(tmp_path)
    other = load(str(tmp_path), device="cpu", prior=str(tmp_path / "prior-pipeline"))
    assert isinstance(other, UnCLIP)
    with pytest.raises(AstrogateError, match="different models"):
        blend(points[0], other.point_at(torch.randn(WIDTH)))
