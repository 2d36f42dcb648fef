"""A family of checkpoints is a row: what is particular about it, declared; final classes drive every row.

`Family` says how a pipeline of diffusers is used, which draws (`models.adapter`); `StackFamily` of which parts a stack
of unCLIP is made, which a loop of our own draws (`models.unclip.adapter`). `can` says what a family's models do: what
is not in it is refused by `require`, in one kind of error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from astrogate.models.unclip.stack import Stack

#: What models can do, as a sentence goes on behind "can ".
ABILITIES = {
    "steer": "be steered in its text",
    "pooled": "be steered in its pooled text",
    "guide": "be guided by edits during the sampling",
    "hold": "be held to the unedited picture",
    "attend": "look at the unedited picture with its self-attention",
    "step": "predict noise step by step",
    "invert": "find the noise of a picture",
    "pan": "draw in overlapping windows",
    "loss": "learn a concept by its denoising loss",
    "pseudo_words": "read pseudo-words",
    "control": "take a control image, by a ControlNet",
    "ip_adapter": "take a picture, by an IP-Adapter",
    "offload": "be kept in main memory until it works",
    "embeds": "draw from an image embedding",
    "imagine": "imagine image embeddings for a prompt, by a prior",
    "upscale": "enlarge pictures",
}


#: What `encode_prompt` returns where a pooled text is a second condition.
WITH_POOLED = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
#: What it returns where the text has a mask.
WITH_MASK = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a tensor enters the denoiser: the path to it in a call, which starts with a keyword or a position.

    A `fixed` one, such as a mask, is replaced with the text it belongs to, but never moved.
    """

    path: tuple[str | int, ...]
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A text encoder whose tokens lie on the sequence axis of "prompt_embeds", by the name of its tokenizer.

    `length` is how many (None: the tokenizer's own), which may depend on the checkpoint. `name` is that of the segment.
    `around` is what the pipeline puts before and behind a prompt, such as a system's message or a chat's marks; `alone`
    says that it puts nothing around a negative prompt, `lowered` that it reads prompts in lower case, without spaces at
    their ends. The states of `drop` tokens are left out, from `kept` on; `tail` of the `length` stand behind the
    padding, which is on the `right` where the pipeline has it there, and else where the tokenizer says.
    """

    tokenizer: str
    length: int | Callable[[Any], int] | None = None
    name: str = ""
    around: Callable[[Any], tuple[str, str]] | None = None
    alone: bool = False
    lowered: bool = False
    drop: int | Callable[[Any], int] = 0
    kept: int = 0
    tail: int = 0
    right: bool = False

    def reader(self, pipe: Any) -> Any:
        """The tokenizer of a pipeline, or that inside its processor; None where it is missing."""
        part = getattr(pipe, self.tokenizer)
        return getattr(part, "tokenizer", part)

    def tokens(self, pipe: Any) -> int:
        """How many tokens the encoder of a pipeline reads."""
        if self.length is None:
            return int(self.reader(pipe).model_max_length)
        return self.length if isinstance(self.length, int) else self.length(pipe)

    def frame(self, pipe: Any, *, negative: bool = False) -> tuple[str, str]:
        """What a pipeline puts before and behind a prompt."""
        return ("", "") if self.around is None or (negative and self.alone) else self.around(pipe)

    def limit(self, pipe: Any, *, negative: bool = False) -> int:
        """How many tokens of a prompt in its frame a pipeline reads."""
        omitted = self.omitted(pipe, negative=negative)
        return self.tokens(pipe) - self.tail + omitted.stop - omitted.start

    def left(self, pipe: Any) -> bool:
        """Whether padding stands before a prompt."""
        return not self.right and self.reader(pipe).padding_side == "left"

    def read(self, prompt: str) -> str:
        """A prompt as it is tokenised."""
        return prompt.lower().strip() if self.lowered else prompt

    def omitted(self, pipe: Any, *, negative: bool = False) -> slice:
        """The tokens whose states a pipeline leaves out."""
        drop = self.drop if isinstance(self.drop, int) else self.drop(pipe)
        return slice(self.kept, self.kept + (0 if negative and self.alone else drop))


@dataclass(frozen=True, slots=True)
class Guidance:
    """How the halves of classifier-free guidance reach the denoiser.

    "joined" is one call with a batch of both, in `order`; "in turn" a call for each, in `order`; "none" says that there
    is but the positive half, and no negative prompt. `scale` names the setting of a recipe that asks for them,
    `argument` the pipeline's own, where it has another name, `none` the scale up to which there is but the positive
    half. `rescaled` predictions are brought to the norm of the positive half along the last axis, edits and all.
    `never` says of a pipeline that it has but the positive half, whatever is asked for: a distilled one.
    """

    layout: Literal["joined", "in turn", "none"] = "joined"
    order: tuple[Literal["negative", "positive"], Literal["negative", "positive"]] = ("negative", "positive")
    scale: str = "guidance_scale"
    argument: str = ""
    none: float = 1.0
    rescaled: bool = False
    never: Callable[[Any], bool] | None = None

    def on(self, recipe: Recipe, pipe: Any) -> bool:
        """Whether a recipe guides a pipeline. Raises AstrogateError where it asks for what the pipeline never does."""
        asked = self.layout != "none" and float(getattr(recipe, self.scale)) > self.none
        if asked and self.never is not None and self.never(pipe):
            found = f"{self.scale} {getattr(recipe, self.scale):g} does nothing in a distilled checkpoint"
            raise AstrogateError(found, f"use {self.none:g}")
        return asked


@dataclass(frozen=True, slots=True)
class Pictured:
    """Where an IP-Adapter's pictures enter the denoiser; `listed` says that a batch of them is one item of a list."""

    path: tuple[str, ...] = ("added_cond_kwargs", "image_embeds")
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every family declares.

    `pipelines` are the classes that a checkpoint's index may name, `can` is a choice of `ABILITIES`, `recipe` what a
    picture is drawn by unless something else is asked for.
    """

    name: str
    pipelines: tuple[str, ...]
    can: frozenset[str]
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.name or not self.pipelines:
            raise AstrogateError(f"the family {self.name!r} names no pipeline", "give its name and its pipelines")
        if unknown := self.can - set(ABILITIES):
            raise AstrogateError(
                f"the family {self.name!r} can {', '.join(sorted(unknown))}", f"choose from {', '.join(ABILITIES)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Row):
    """A family whose pictures a pipeline of diffusers draws: the first of `pipelines`."""

    #: Further pipelines that its rows fit, with one condition more.
    wraps: tuple[str, ...] = ()
    #: A control picture goes through the autoencoder: it is "control_image", from -1 to 1, instead of "image".
    encoded_control: bool = False
    pictured: Pictured = Pictured()
    #: Its parts, by their names in the pipeline.
    encoders: tuple[str, ...]
    denoiser: str
    #: The tokens of "prompt_embeds", and the names of what `encode_prompt` returns (None: not needed).
    texts: tuple[Text, ...]
    encoded: tuple[str | None, ...]
    #: Where tensors enter the denoiser; the negative half has them by names that start with "negative_".
    sites: Mapping[str, Site]
    #: States up to the end need no padding behind it: the encoder is causal, or sees a mask.
    short: bool = False
    guidance: Guidance = Guidance()
    #: The side of the patches of latents that become one token with its channels, of those that the denoiser cuts
    #: itself, and of those of the autoencoder's latents that the noise has as channels.
    packing: int = 1
    patch: int = 1
    fold: int = 1
    #: What the pipeline takes multiples of, in pixels, whatever its autoencoder's factor is.
    multiple: int = 8
    #: How many of the scheduler's timesteps make 1 of the denoiser's; whether its time is 0 at noise and 1 at the
    #: picture; whether times are angles a, which are sin a / (sin a + cos a) to it, with one more behind the last step.
    timesteps: int = 1
    reversed: bool = False
    angles: bool = False
    #: How many layers of the encoder the text has, on an axis behind that of its tokens; points have them side by side.
    layers: Callable[[Any], int] | None = None
    #: The denoiser's layers that see the text alone; the mask by which each row's text stands before its picture
    #: without padding between; whether the picture stands before the text.
    text_layers: tuple[str, ...] = ()
    packed: str | None = None
    picture_first: bool = False
    #: Texts as long as they are, in one of two ways (`sampler.lengths`), and the space that says how long that is.
    unpadded: Literal["", "lists", "longest"] = ""
    mask: str = "prompt_attention_mask"
    #: Latents are float32, whatever the denoiser computes with.
    precise: bool = False
    #: The side of the latents, where neither the denoiser's settings nor the pipeline say it.
    side: int = 0
    #: Arguments of the denoiser without a batch axis.
    shared: frozenset[str] = frozenset()
    #: What joins each call of the pipeline, of its encoder, of both it and the scheduler's times for a number of steps,
    #: and its making.
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked: Callable[[Any], Mapping[str, Any]] | None = None
    by_steps: Callable[[int], Mapping[str, Any]] | None = None
    loading: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: What each call of the denoiser needs beside the sites, for latents [n, c, h, w].
    added: Callable[[Any, Tensor], Mapping[str, Any]] | None = None
    #: The autoencoder overflows in half precision.
    upcast: bool = False
    #: Of a pipeline's settings, which its index holds: what it is where the family does not draw it, else nothing.
    refused: Callable[[Mapping[str, Any]], str] | None = None
    #: The recipe of a pipeline, where that depends on its settings.
    drawn: Callable[[Any], Recipe] | None = None
    #: All samplers that a pipeline draws by, where it asks more of them than others do.
    samplers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Row.__post_init__(self)
        own = {self.mask} if self.unpadded else set[str]()
        if missing := set(self.sites) - set(self.encoded) - own:
            raise AstrogateError(
                f"the family {self.name!r} has sites for {', '.join(sorted(missing))}, which nothing encodes",
                "name them in encoded",
            )
        if "prompt_embeds" not in self.sites or not self.texts or not self.encoders:
            raise AstrogateError(
                f"the family {self.name!r} says nothing of its text", "give encoders, texts and a site of prompt_embeds"
            )
        if ("pooled" in self.can) != ("pooled_prompt_embeds" in self.sites):
            raise AstrogateError(
                f"the family {self.name!r} contradicts itself about pooled text", "give a site and can, or neither"
            )

    @property
    def spaces(self) -> frozenset[str]:
        """The tensors of a point."""
        others = () if self.guidance.layout == "none" else self.sites
        return frozenset({"latents", *self.sites, *(f"negative_{space}" for space in others)})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFamily(Row):
    """A family of unCLIP: `parts` are where the class of each part is, by its name, the first `needed` of which must be
    there; "scheduler" and "autoencoder" stand for the class that the part's own config names. `denoiser` and
    `scheduler` are the decoder and its levels, by the names of their parts. `make` makes a stack of all parts.
    """

    parts: Mapping[str, str]
    needed: int
    denoiser: str
    scheduler: str
    make: Callable[[Mapping[str, Any]], Stack]

    def __post_init__(self) -> None:
        Row.__post_init__(self)
        if not 1 <= self.needed <= len(self.parts):
            raise AstrogateError(
                f"the family {self.name!r} needs {self.needed} of {len(self.parts)} parts", "need 1 of them at least"
            )
        if unknown := {self.denoiser, self.scheduler} - set(list(self.parts)[: self.needed]):
            raise AstrogateError(
                f"the family {self.name!r} is drawn by {', '.join(sorted(unknown))}", "name two of the needed parts"
            )
