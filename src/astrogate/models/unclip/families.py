"""How each family's decoder sees an image embedding z_i and a caption, on its own parts.

karlo      time += P z_i + Q z_t, context = [four tokens of z_i, states of the text]; draws pixels of 64 x 64
kandinsky  tokens and time of z_i alone (Razzhigaev et al. 2023, 2.2); draws latents of MoVQ
stable     time += MLP [z_i, sinusoid(noise level)], context = states of a text encoder of its own; draws latents
ours       as Karlo, and the noise level as stable unCLIP has it (`models.unclip.conditions`); draws latents
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.models.sampler.loop import decoded, encoded
from astrogate.models.text.prompts import tokenized
from astrogate.models.unclip.conditions import FORGIVEN, LEVELS, ImageConditions
from astrogate.models.unclip.priors import AutoregressivePrior, DiffusionPrior, Prior
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.towers import Towers
from astrogate.models.unclip.upsampling import Upsampler

Parts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Latents:
    """An AutoencoderKL."""

    vae: Any

    @property
    def factor(self) -> int:
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latents(self, pictures: Tensor) -> Tensor:
        return encoded(self.vae, pictures)

    def picture(self, latents: Tensor) -> Tensor:
        return decoded(self.vae, latents)


@dataclass(frozen=True, slots=True)
class _Movq:
    """A VQModel whose latents are drawn before they are quantised."""

    movq: Any

    @property
    def factor(self) -> int:
        return 2 ** (len(self.movq.config.block_out_channels) - 1)

    def latents(self, pictures: Tensor) -> Tensor:
        return self.movq.encode(2 * pictures - 1).latents

    def picture(self, latents: Tensor) -> Tensor:
        return (self.movq.decode(latents, force_not_quantize=True).sample * 0.5 + 0.5).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class _Pixels:
    """No autoencoder: pictures of `side` pixels, larger ones reduced to it."""

    side: int
    factor: int = 1

    def latents(self, pictures: Tensor) -> Tensor:
        if pictures.shape[-2:] != (self.side, self.side):
            pictures = F.interpolate(pictures, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
        return 2 * pictures - 1

    def picture(self, latents: Tensor) -> Tensor:
        return (latents * 0.5 + 0.5).clamp(0, 1)


def karlo(parts: Parts) -> Stack:
    """Karlo (Lee et al. 2022): text to picture, picture variation, or both in one folder."""
    towers = Towers(
        parts["tokenizer"], parts["text_encoder"], parts.get("image_encoder"), parts.get("feature_extractor")
    )
    projection, tokens = parts["text_proj"], parts["text_proj"].clip_extra_context_tokens

    def conditions(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        context, time = projection(
            image_embeddings=tensors["image_embeds"],
            prompt_embeds=tensors["pooled_prompt_embeds"],
            text_encoder_hidden_states=tensors["prompt_embeds"],
            do_classifier_free_guidance=False,
        )
        mask = F.pad(tensors["prompt_attention_mask"], (tokens, 0), value=True)
        return {"encoder_hidden_states": context, "class_labels": time, "attention_mask": mask}

    first, last = parts.get("super_res_first"), parts.get("super_res_last")
    return Stack(
        parts,
        denoiser="decoder",
        scheduler=parts["decoder_scheduler"],
        towers=towers,
        coder=_Pixels(int(parts["decoder"].config.sample_size)),
        clamp=float(parts["decoder_scheduler"].config.clip_sample_range),
        tokenizer=parts["tokenizer"],
        caption=_caption_of(towers),
        conditions=conditions,
        missing=projection.learned_classifier_free_guidance_embeddings.detach(),
        priors=_diffusion_prior(parts.get("prior"), parts.get("prior_scheduler")),
        prior_guidance=4.0,
        upsamplers=()
        if first is None
        else (Upsampler(first, parts["super_res_scheduler"], last=last, num_inference_steps=7),),
    )


def kandinsky(parts: Parts) -> Stack:
    """Kandinsky 2.2, its prior's parts under names that begin with "prior_"."""
    encoder = parts["prior_image_encoder"]
    towers = Towers(parts["prior_tokenizer"], parts["prior_text_encoder"], encoder, parts["prior_image_processor"])
    side = int(encoder.config.image_size)
    with torch.no_grad():
        missing = encoder(torch.zeros(1, 3, side, side, device=encoder.device, dtype=encoder.dtype)).image_embeds[0]
    return Stack(
        parts,
        denoiser="unet",
        scheduler=parts["scheduler"],
        towers=towers,
        coder=_Movq(parts["movq"]),
        tokenizer=None,
        caption=lambda prompts: {},
        conditions=lambda tensors, negative: {
            "encoder_hidden_states": None,
            "added_cond_kwargs": {"image_embeds": tensors["image_embeds"]},
        },
        missing=missing,
        priors=_diffusion_prior(parts["prior_prior"], parts["prior_scheduler"]),
        prior_guidance=4.0,
    )


def stable_unclip(parts: Parts) -> Stack:
    """Stable unCLIP, from pictures or, where the folder holds a prior, from text."""
    towers = Towers(
        parts.get("prior_tokenizer"),
        parts.get("prior_text_encoder"),
        parts.get("image_encoder"),
        parts.get("feature_extractor"),
    )
    tokenizer, encoder = parts["tokenizer"], parts["text_encoder"]
    width = int(parts["image_normalizer"].config.embedding_dim)

    def noised(z: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        own = parts["image_normalizer"]
        return own.unscale(parts["image_noising_scheduler"].add_noise(own.scale(z), noise, level))

    def caption(prompts: Sequence[str]) -> Mapping[str, Tensor]:
        return {"prompt_embeds": encoder(tokenized(tokenizer, prompts).input_ids.to(encoder.device))[0]}

    def conditions(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        from diffusers.models.embeddings import get_timestep_embedding

        z, level = tensors["image_embeds"], tensors["noise_level"][:, 0].float()
        level = get_timestep_embedding(level, z.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
        labels = torch.cat([z, level.to(z)], 1)
        labels = torch.zeros_like(labels) if negative else labels
        return {"encoder_hidden_states": tensors["prompt_embeds"], "class_labels": labels}

    return Stack(
        parts,
        denoiser="unet",
        scheduler=parts["scheduler"],
        towers=towers,
        coder=_Latents(parts["vae"]),
        tokenizer=tokenizer,
        caption=caption,
        conditions=conditions,
        missing=torch.zeros(width),
        noised=noised,
        levels=LEVELS - 1,
        priors=_diffusion_prior(parts.get("prior"), parts.get("prior_scheduler")),
        prior_guidance=4.0,
    )


def ours(parts: Parts) -> Stack:
    """A stack that `train` made."""
    towers = Towers(
        parts["tokenizer"], parts["text_encoder"], parts["image_encoder"], parts["feature_extractor"], unit=True
    )
    conditions = ImageConditions(parts["text_proj"], parts["image_normalizer"])

    def seen(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        z, level = tensors["image_embeds"], tensors["noise_level"][:, 0].long()
        context, labels = conditions(z, level, tensors["pooled_prompt_embeds"], tensors["prompt_embeds"])
        return {"encoder_hidden_states": context, "class_labels": labels}

    priors = _diffusion_prior(parts.get("prior"), parts.get("prior_scheduler"))
    if "ar_prior" in parts:
        priors |= {"ar": AutoregressivePrior(parts["ar_prior"], *parts["codebook"])}
    return Stack(
        parts,
        denoiser="decoder",
        scheduler=parts["scheduler"],
        towers=towers,
        coder=_Latents(parts["vae"]),
        tokenizer=parts["tokenizer"],
        caption=lambda prompts: {k: v for k, v in _caption_of(towers)(prompts).items() if k != "prompt_attention_mask"},
        conditions=seen,
        missing=conditions.missing(1)[0].detach(),
        noised=conditions.noised,
        levels=FORGIVEN,
        priors=priors,
        upsamplers=tuple(
            Upsampler(parts[name], parts[f"{name}_scheduler"], num_inference_steps=steps)
            for name, steps in (("upsampler", 27), ("upsampler_2", 15))
            if name in parts
        ),
    )


def _caption_of(towers: Towers) -> Callable[[Sequence[str]], Mapping[str, Tensor]]:
    """The caption as a decoder reads it through the text tower that the prior reads too."""

    def caption(prompts: Sequence[str]) -> Mapping[str, Tensor]:
        text = towers.texts(prompts)
        return {
            "prompt_embeds": text.states,
            "pooled_prompt_embeds": text.embeds,
            "prompt_attention_mask": text.mask,
        }

    return caption


def _diffusion_prior(model: Any, scheduler: Any) -> dict[str, Prior]:
    if (model is None) != (scheduler is None):
        raise AstrogateError("a prior without its scheduler, or the other way round", "restore the missing one")
    return {} if model is None else {"diffusion": DiffusionPrior(model, scheduler)}
