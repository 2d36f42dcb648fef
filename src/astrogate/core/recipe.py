"""Recipe: how to sample. Frame: what came of it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.core.values import real, whole

if TYPE_CHECKING:
    from PIL import Image

    from astrogate.core.point import Point

_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Sampler settings. `scheduler` is a diffusers class name (None: the checkpoint's own); sizes are pixels.

    `eta` is the share of DDPM's noise that DDIM adds at every step (Song et al. 2021): 0 is none, 1 is all.
    `true_cfg_scale` guides Flux.1, which was distilled, by the negative prompt; 1 is none. `dtype` None is the model's
    own; a reduced one on a float32 model runs the denoiser under autocast. With `stride`, pictures larger than the
    model's own are denoised in overlapping windows of that size, `stride` pixels apart, and are joined left to right.

    Raises AstrogateError for settings that no sampler takes.
    """

    num_inference_steps: int = 20
    guidance_scale: float = 4.0
    scheduler: str | None = None
    height: int | None = None
    width: int | None = None
    dtype: str | None = None
    true_cfg_scale: float = 1.0
    stride: int | None = None
    eta: float = 0.0

    def __post_init__(self) -> None:
        set_ = partial(object.__setattr__, self)
        set_("num_inference_steps", whole(self.num_inference_steps, "{} steps", 1, 500, "choose 1 to 500"))
        for name in ("guidance_scale", "true_cfg_scale"):
            set_(name, real(getattr(self, name), "guidance", 0, 100, "choose 0 to 100 (1 is no guidance)"))
        set_("eta", real(self.eta, "eta", 0, 1, "choose a share of the noise from 0 to 1"))
        if self.scheduler is not None and not isinstance(self.scheduler, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AstrogateError(f"scheduler {self.scheduler!r}", "name its class in diffusers, such as DDIM")
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise AstrogateError(f"dtype {self.dtype!r} is unknown", f"choose one of {', '.join(_DTYPES)}")
        for name in ("height", "width", "stride"):
            if getattr(self, name) is not None:
                set_(name, whole(getattr(self, name), "{} pixels", 8, 16384, "choose 8 to 16384"))
        if self.stride is not None and self.stride % 8:
            raise AstrogateError(f"a stride of {self.stride} pixels", "choose a multiple of 8")

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the settings."""
        return asdict(self)

    def resolved(self, dtype: str) -> Recipe:
        """This recipe with the dtype that it is drawn in by a model of `dtype`: two that draw alike are equal."""
        return replace(self, dtype=self.dtype or dtype)

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name these settings."""
        return key_of(self)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A picture with the point and the recipe that make it again. It shows itself in a notebook.

    `weights` and `dtype` are those of the model that drew it, so that `again` notices another one.
    """

    image: Image.Image
    point: Point
    recipe: Recipe
    weights: str = ""
    dtype: str = ""

    def __repr__(self) -> str:
        return f"<Frame {self.image.width} x {self.image.height}, {self.point!r}>"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        return f'<img src="data:image/png;base64,{b64encode(self._repr_png_()).decode()}">'
