"""Image embeddings for prompts, by a stack's priors (Ramesh et al. 2022, section 2.2), or by none; noise on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.seeds import checked_all, generator, normal
from astrogate.core.values import several, whole
from astrogate.models.text.prompts import check_prompt, check_words
from astrogate.models.unclip.priors import Guided, best_of
from astrogate.models.unclip.stack import Stack


def imagined(
    stack: Stack,
    name: str,
    prompts: Sequence[str],
    seeds: Sequence[int],
    kind: str,
    candidates: int,
    guidance_scale: float | None,
    num_inference_steps: int,
    negative: str,
) -> Tensor:
    """Embeddings [n, d]; see `UnCLIP.imagine`. `name` is the model's, for errors."""
    candidates = whole(candidates, "{} candidates", 1, 100, "use 1 to 100")
    prompts, seeds = several(prompts, str, "prompt", "give texts"), checked_all(seeds)
    check_words(prompts, ())
    if len(seeds) != len(prompts):
        raise AstrogateError(f"{len(seeds)} seeds for {len(prompts)} prompts", "give one seed per prompt")
    if kind not in (known := [*stack.priors, "none"]):
        raise AstrogateError(f"{name} has no {kind!r} prior", f"choose one of {', '.join(known)}")
    for prompt in prompts:
        check_prompt(prompt)
    text = stack.towers.texts(prompts)
    if kind == "none":
        return text.embeds.float().cpu()
    empty, generators = stack.towers.texts([negative]), [generator(seed, kind) for seed in seeds]
    scale = stack.prior_guidance if guidance_scale is None else guidance_scale
    prior, captions = stack.priors[kind], Guided.of(text, empty, scale)
    draws = [prior.draw(captions, generators, num_inference_steps=num_inference_steps) for _ in range(candidates)]
    z = best_of(draws, text.embeds).float().cpu()
    return torch.nn.functional.normalize(z, dim=-1) if stack.towers.unit else z


def fitting(stack: Stack, name: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """An embedding [d] and the stack's own for "no picture" [d]. Raises AstrogateError for one of another width."""
    if not isinstance(z, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise AstrogateError(f"a {type(z).__name__} is no embedding", f"give a tensor of {len(stack.missing)} numbers")
    z, missing = (x.detach().to("cpu", torch.float32, copy=True) for x in (z, stack.missing))
    if z.shape != missing.shape:
        raise AstrogateError(
            f"an embedding of shape {tuple(z.shape)}; {name} takes {tuple(missing.shape)}",
            "use a checkpoint of the same CLIP",
        )
    if not z.isfinite().all():
        raise AstrogateError("an embedding holds what is no finite number", "make it anew")
    return z, missing


def check_level(stack: Stack, name: str, level: int) -> None:
    """Raise AstrogateError for a noise level that a stack does not know."""
    if stack.noised is None and level:
        raise AstrogateError(f"{name} knows no noise levels", "leave the noise level out")
    if stack.noised is not None and not 0 <= level <= stack.levels:
        raise AstrogateError(f"noise level {level}", f"choose 0 to {stack.levels}")


def leveled(stack: Stack, name: str, z: Tensor, level: int, seed: int, device: torch.device) -> dict[str, Tensor]:
    """What an embedding [d] with the noise of a level adds to a point, where the stack knows levels.

    Raises AstrogateError for a level that it does not know.
    """
    check_level(stack, name, level)
    if stack.noised is None:
        return {}
    levels = torch.tensor([level])
    if level:
        drawn = normal(tuple(z.shape), generator(seed, "noise level"))
        z = stack.noised(z[None].to(device), levels.to(device), drawn[None].to(device))[0].cpu()
    return {"image_embeds": z, "noise_level": levels.float(), "negative_noise_level": torch.zeros(1)}
