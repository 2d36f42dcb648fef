"""Between pictures and latents, by an autoencoder's own statistics.

latents = (E(2 picture - 1) - mean) scale / std        mean, std by channel, where the config has them
latents = (E(2 picture - 1) - shift) scale             elsewhere; decoding is the way back

A decoder that overflows in half precision decodes those pictures in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.values import check_pictures
from astrogate.models.finite import check_made, finite, in_float32


class Coder(Protocol):
    """Between pictures and what a denoiser draws: an autoencoder, or the pixels themselves."""

    @property
    def factor(self) -> int:
        """Pixels a side for one of the latents."""
        ...

    @property
    def enlargement(self) -> int:
        """How many times as large as the pictures that are encoded those are that are decoded."""
        ...

    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in [0, 1] to latents [n, c, h, w]."""
        ...

    def picture(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], differentiable."""
        ...


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """An AutoencoderKL, or one whose decoder draws larger than its encoder sees: that is given means over areas."""

    vae: Any

    @property
    def factor(self) -> int:
        """Pixels a side for one of the latents."""
        return _factor(self.vae)

    @property
    def enlargement(self) -> int:
        """See `Coder.enlargement`."""
        seen = getattr(self.vae.config, "down_block_out_channels", self.vae.config.block_out_channels)
        return self.factor // 2 ** (len(seen) - 1)

    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in [0, 1] to the means of their latents [n, c, h, w]."""
        shift, scale = self._statistics(pictures)
        return (self.posterior(pictures).mode() - shift) * scale

    def moments(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Means and deviations [n, c, h, w] of the latents of pictures [n, 3, H, W] in [0, 1], in float32."""
        shift, scale = self._statistics(pictures.float())
        posterior = self.posterior(pictures)
        return (posterior.mean.float() - shift) * scale, posterior.std.float() * scale

    def posterior(self, pictures: Tensor) -> Any:
        """The encoder's distribution for pictures in [0, 1], as it is."""
        check_pictures(pictures)
        if (ratio := self.enlargement) > 1:
            pictures = F.avg_pool2d(pictures, ratio)
        return self.vae.encode((2 * pictures - 1).to(self.vae.dtype)).latent_dist

    def picture(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], differentiable."""
        found = self._decoded(latents)
        if found.dtype == torch.float16 and not finite(found):
            rows = ~found.isfinite().flatten(1).all(1)
            with in_float32(self.vae):
                better = _unit(self._decoded(latents[rows]), self.vae)
            return _unit(found.masked_fill(rows[:, None, None, None], 0)).float().index_put((rows,), better)
        return _unit(found, self.vae)

    def _decoded(self, latents: Tensor) -> Tensor:
        """Pictures in [-1, 1], in the autoencoder's dtype."""
        latents = latents.to(self.vae.dtype)
        config = self.vae.config
        if self._by_channel():
            mean, std = (latents.new_tensor(values)[:, None, None] for values in self._by_channel())
            latents = latents * std / config.scaling_factor + mean
        else:
            latents = latents / config.scaling_factor
            if getattr(config, "shift_factor", None):
                latents = latents + config.shift_factor
        return self.vae.decode(latents).sample

    def _by_channel(self) -> Sequence[Sequence[float]]:
        """Mean and deviation by channel, where the config has both."""
        found = [getattr(self.vae.config, name, None) for name in ("latents_mean", "latents_std")]
        return [values for values in found if values is not None] if None not in found else []

    def _statistics(self, like: Tensor) -> tuple[Any, Any]:
        """What is taken off encoded pictures, and what the rest is multiplied by."""
        config = self.vae.config
        if self._by_channel():
            mean, std = (like.new_tensor(values)[:, None, None] for values in self._by_channel())
            return mean, config.scaling_factor / std
        return getattr(config, "shift_factor", None) or 0.0, config.scaling_factor


@dataclass(frozen=True, slots=True)
class Frames:
    """An autoencoder of videos, of which a picture is the only frame: AutoencoderKLQwenImage."""

    vae: Any
    enlargement: int = 1

    @property
    def factor(self) -> int:
        """See `Coder.factor`."""
        return self.vae.spatial_compression_ratio

    def latents(self, pictures: Tensor) -> Tensor:
        """See `Coder.latents`."""
        check_pictures(pictures)
        found = self.vae.encode((2 * pictures[:, :, None] - 1).to(self.vae.dtype)).latent_dist.mode()
        mean, std = self._statistics(found)
        return ((found - mean) * std)[:, :, 0]

    def picture(self, latents: Tensor) -> Tensor:
        """See `Coder.picture`."""
        latents = latents[:, :, None].to(self.vae.dtype)
        mean, std = self._statistics(latents)
        return _unit(self.vae.decode(latents / std + mean).sample[:, :, 0], self.vae)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and one over the deviation of the latents, by channel."""
        config = self.vae.config
        mean, std = (like.new_tensor(values).view(-1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))
        return mean, 1.0 / std


@dataclass(frozen=True, slots=True)
class Folded:
    """An autoencoder whose latents become channels by patches, and are normalised by running statistics: FLUX.2's."""

    vae: Any
    enlargement: int = 1

    @property
    def factor(self) -> int:
        """See `Coder.factor`."""
        return _factor(self.vae) * self.vae.config.patch_size[0]

    def latents(self, pictures: Tensor) -> Tensor:
        """See `Coder.latents`."""
        check_pictures(pictures)
        found = self.vae.encode((2 * pictures - 1).to(self.vae.dtype)).latent_dist.mode()
        mean, std = self._statistics(found)
        return (F.pixel_unshuffle(found, self.vae.config.patch_size[0]) - mean) / std

    def picture(self, latents: Tensor) -> Tensor:
        """See `Coder.picture`."""
        latents = latents.to(self.vae.dtype)
        mean, std = self._statistics(latents)
        whole = F.pixel_shuffle(latents * std + mean, self.vae.config.patch_size[0])
        return _unit(self.vae.decode(whole).sample, self.vae)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the folded latents, by channel."""
        seen = self.vae.bn
        mean, variance = (x.view(1, -1, 1, 1) for x in (seen.running_mean, seen.running_var))
        return mean.to(like), torch.sqrt(variance + self.vae.config.batch_norm_eps).to(like)


@dataclass(frozen=True, slots=True)
class Compressed:
    """An autoencoder without a distribution of latents: AutoencoderDC."""

    vae: Any
    enlargement: int = 1

    @property
    def factor(self) -> int:
        """See `Coder.factor`."""
        return self.vae.spatial_compression_ratio

    def latents(self, pictures: Tensor) -> Tensor:
        """See `Coder.latents`."""
        check_pictures(pictures)
        return self.vae.encode((2 * pictures - 1).to(self.vae.dtype)).latent * self.vae.config.scaling_factor

    def picture(self, latents: Tensor) -> Tensor:
        """See `Coder.picture`."""
        return _unit(self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample, self.vae)


def codec_of(vae: Any) -> Coder:
    """Between pictures and the latents of a pipeline's autoencoder, of whatever class."""
    if hasattr(vae, "bn"):
        return Folded(vae)
    if hasattr(vae.config, "encoder_block_out_channels"):
        return Compressed(vae)
    return Frames(vae) if hasattr(vae, "temperal_downsample") else Autoencoder(vae)


@dataclass(frozen=True, slots=True)
class Movq:
    """A VQModel whose latents are drawn before they are quantised."""

    movq: Any
    enlargement: int = 1

    @property
    def factor(self) -> int:
        """Pixels a side for one of the latents."""
        return _factor(self.movq)

    def latents(self, pictures: Tensor) -> Tensor:
        """See `Coder.latents`."""
        check_pictures(pictures)
        return self.movq.encode(2 * pictures - 1).latents

    def picture(self, latents: Tensor) -> Tensor:
        """See `Coder.picture`."""
        return _unit(self.movq.decode(latents, force_not_quantize=True).sample, self.movq)


@dataclass(frozen=True, slots=True)
class Pixels:
    """No autoencoder: pictures of `side` pixels, larger ones reduced to it."""

    side: int
    factor: int = 1
    enlargement: int = 1

    def latents(self, pictures: Tensor) -> Tensor:
        """See `Coder.latents`."""
        check_pictures(pictures)
        if pictures.shape[-2:] != (self.side, self.side):
            pictures = F.interpolate(pictures, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
        return 2 * pictures - 1

    def picture(self, latents: Tensor) -> Tensor:
        """See `Coder.picture`."""
        return _unit(latents)


def _factor(autoencoder: Any) -> int:
    return 2 ** (len(autoencoder.config.block_out_channels) - 1)


def _unit(pictures: Tensor, autoencoder: Any = None) -> Tensor:
    """Pictures in [-1, 1] in [0, 1]. Raises AstrogateError for what is no finite number."""
    check_made([pictures], "pictures", {} if autoencoder is None else {"the autoencoder": autoencoder})
    return (pictures * 0.5 + 0.5).clamp(0, 1)
