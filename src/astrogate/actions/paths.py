"""Requests for paths: `walk`, from seed to seed, prompt to prompt or picture to picture, and `pan`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from warnings import warn

from astrogate.actions.options import Sampling, Seeded, named_folder
from astrogate.actions.output import check_output
from astrogate.actions.request import Plan, argument, option
from astrogate.actions.typed import InputFile, Texts
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astrogate.core.path import Path as Way
    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame
    from astrogate.rendering.cache import FrameCache

#: Peak signal-to-noise ratio in dB below which a picture is seen to be another one.
_LIKE = 20.0
_CACHE = "Folder that keeps the frames, so that an interrupted run resumes."


class Walk(Sampling):
    """Travel through noise and text: PROMPT from one seed to another, or through several prompts.

    The timing "even" draws frames where the picture moves; "retimed" shows the uniform ones, which it finds in
    the cache, each as often as that needs.
    """

    kind: ClassVar[str] = "walk"
    brief: ClassVar[str] = "Travel from seed to seed, prompt to prompt, or picture to picture."
    prompt: str | None = argument("What to draw.", default=None)
    prompts: Texts = option((), "A key point's prompt, in the place of PROMPT. Repeatable.")
    seed: int = option(0, "Draws both ends, unless the next two say otherwise.", ge=0)
    from_seed: int | None = option(None, "Draws the noise of the start.", ge=0)
    to_seed: int | None = option(None, "Draws the noise of the end.", ge=0)
    start_image: InputFile | None = option(None, "A picture to start from.")
    end_image: InputFile | None = option(None, "A picture to end at.")
    by: Literal["slerp", "nlerp", "lerp"] = option("slerp", "How noise goes from end to end.")
    loop: bool = option(False, "Come back to the start.")
    timing: Literal["uniform", "eased", "even", "retimed"] = option("uniform", "Where on the path frames are.")
    n: int = option(60, "Frames.", flag="-n", ge=2, le=100_000)
    fast: bool = option(False, "bfloat16, and for long runs torch.compile, where they pay.")
    fps: float = option(24.0, "Frames per second of a video.", ge=0.1, le=240)
    cache: Path = option(Path("runs/frames"), _CACHE)
    clip: str | None = option(None, "A CLIP (folder or hub id) that compares the pictures.")

    def check(self) -> None:
        """See `Request.check`; picture files are read before anything heavy is loaded."""
        from astrogate.rendering.pixels import read_picture

        if bool(self.prompt) == bool(self.prompts):
            raise AstrogateError("a walk needs a prompt, or several", "name one, or two or more of the others")
        if self.circling and self.by != "slerp":
            raise AstrogateError(f"a loop of one prompt goes round a circle, not by {self.by}", "leave by out")
        if self.images and self.scheduler not in (None, "DDIM", "DDIMScheduler"):
            raise AstrogateError(f"{self.scheduler} does not draw a picture back", "use the scheduler DDIM, or none")
        if self.end_image is not None:
            self.refuse_idle(("to_seed",), "beside a picture to end at", "leave the picture out")
        if self.start_image is not None:
            self.refuse_idle(("from_seed",), "beside a picture to start from", "leave the picture out")
        if self.from_seed is not None and self.to_seed is None and len(self.texts) == 1 and self.end_image is None:
            raise AstrogateError("only one end has a seed of its own", "name the other one's too, or leave both out")
        super().check()
        for path in (self.start_image, self.end_image):
            if path is not None:
                read_picture(path)
        check_output(self.cache / "x.png")

    @property
    def texts(self) -> list[str]:
        """The prompts of the key points."""
        return list(self.prompts) or [str(self.prompt)]

    @property
    def images(self) -> bool:
        """Whether an end is a picture."""
        return self.start_image is not None or self.end_image is not None

    @property
    def circling(self) -> bool:
        """Whether it goes round the circle through two noises."""
        return self.loop and len(self.texts) == 1 and not self.images

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        return {k: v for k, v in super().files().items() if v != self.cache} | named_folder(self.clip)

    def folders(self) -> tuple[Path | None, ...]:
        """See `Request.folders`."""
        return (*super().folders(), *named_folder(self.clip).values())

    def recipe(self, model: Model | None = None) -> Recipe:
        """See `Sampling.recipe`; pictures come back by DDIM alone."""
        found = super().recipe(model)
        return replace(found, scheduler="DDIM") if self.images else found

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.measure.clip import clip_for
        from astrogate.methods.path.walk import walk, walk_circle
        from astrogate.models.sampler.fast import fast
        from astrogate.rendering.cache import FrameCache

        recipe, keys = self.recipe(model), self.key_points(model)
        way = walk_circle(keys[0], keys[1]) if self.circling else walk(*keys, by=self.by, closed=self.loop)
        kept, clip = FrameCache(self.cache), None
        if self.timing in ("even", "retimed"):
            clip = clip_for(self.model, self.clip, offline=self.offline)

        def frames() -> Iterator[Frame]:
            with fast(model, recipe, self.n) if self.fast else nullcontext((recipe, 8)) as (chosen, size):
                yield from _timed(model, way, self.timing, self.n, chosen, self.batch_size or size, kept, clip)

        return Plan(frames, self.n, line=f"{self.n} frames", fps=self.fps)

    def key_points(self, model: Model) -> list[Point]:
        """The key points: a prompt each, with noise on the way from the first end's to the last one's."""
        from astrogate.methods.path.walk import walk

        first = self.seed if self.from_seed is None else self.from_seed
        points = [self.point(model, text, first) for text in self.texts]
        if len(points) == 1:
            points = [points[0], points[0]]
        end = points[-1]
        if self.to_seed is not None:
            end = end.with_noise(self.to_seed)
        elif len(self.texts) == 1 and self.end_image is None:
            end = end.with_noise(self.seed, draw=1)
        points[0] = points[0] if self.start_image is None else self._inverted(model, points[0], self.start_image)
        points[-1] = end if self.end_image is None else self._inverted(model, end, self.end_image)
        if not points[0].tensors["latents"].equal(points[-1].tensors["latents"]):
            way = walk(points[0], points[-1], by=self.by, spaces=("latents",))
            for i in range(1, len(points) - 1):
                noisy = way(i / (len(points) - 1))
                tensors = {**points[i].tensors, "latents": noisy.tensors["latents"]}
                told = {"noise": noisy.origin["walk"]}
                points[i] = replace(points[i], tensors=tensors, origin={**points[i].origin, **told})
        return points

    def _inverted(self, model: Any, point: Point, image: Path) -> Point:
        """The point, with the noise from which DDIM draws a picture file; warns where it draws another one."""
        from astrogate.measure.scores import psnr
        from astrogate.rendering.invert import invert
        from astrogate.rendering.pixels import fitted, read_picture, to_tensor
        from astrogate.rendering.render import render

        if "embeds" in model.can:
            raise AstrogateError(f"{model.name} draws from image embeddings", "blend its pictures instead")
        side = self.size or model.size
        picture = fitted(read_picture(image), side, side)[None]
        found = invert(model, picture, [point], recipe=self.recipe(model), iterations=10)[0]
        back = float(psnr(to_tensor(render(model, found, recipe=self.recipe(model))), picture)[0])
        if back < _LIKE:
            warn(f"{image.name} comes back at {back:.1f} dB: expect another picture", AstrogateWarning, stacklevel=2)
        return found


def _timed(
    model: Model, way: Way, timing: str, n: int, recipe: Recipe, batch_size: int, cache: FrameCache, clip: Any
) -> Iterator[Frame]:
    """The frames of a path by one of the timings, drawn as they are asked for."""
    from astrogate.methods.path.pace import pace, retimed
    from astrogate.rendering.render import render

    options: dict[str, Any] = {"recipe": recipe, "batch_size": batch_size, "cache": cache}
    if timing == "retimed":
        points = map(way, retimed(model, way, n, clip, **options))
    elif timing == "even":
        found = pace(model, way, n, clip, **options)
        for low, high in found.jumps:
            warn(f"the picture jumps between {low:.3f} and {high:.3f} of the way", AstrogateWarning, stacklevel=2)
        points = map(way, found.times)
    else:
        points = way.sample(n, "eased" if timing == "eased" else "uniform")
    return render(model, points, **options)


class Pan(Seeded):
    """Move along: PROMPT over the noise of several seeds side by side, or over one canvas of overlapping windows.

    A canvas that goes to a picture file is written whole.
    """

    kind: ClassVar[str] = "pan"
    brief: ClassVar[str] = "Move the window over noise, or over one wide canvas."
    prompt: str = argument("What to draw.")
    how: Literal["noise", "columns", "canvas"] = option(
        "noise", "The picture drawn anew over moving noise; columns replaced one by one; one wide picture."
    )
    seeds: int = option(2, "How many seeds, whose noise lies side by side; a canvas has one.", ge=2, le=1000)
    loop: bool = option(False, "Come back to the start; a canvas always does.")
    wide: int = option(4, "Width of a canvas, in pictures.", ge=2, le=64)
    stride: int | None = option(None, "Pixels from window to window of a canvas.  [default: a quarter]")
    n: int = option(60, "Frames.", flag="-n", ge=2, le=100_000)
    fps: float = option(24.0, "Frames per second of a video.", ge=0.1, le=240)
    cache: Path = option(Path("runs/frames"), _CACHE)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        if self.how == "columns" and (self.loop or self.seeds > 2):
            raise AstrogateError("columns go from one noise to another", "leave loop out, and use two seeds")
        if self.how == "canvas":
            self.refuse_idle(("seeds",), "on a canvas", "move over noise")
            replace(self.recipe(), stride=self.stride)
        else:
            self.refuse_idle(("wide", "stride"), "without a canvas", "move over one")
        check_output(self.cache / "x.png")

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        return {k: v for k, v in super().files().items() if v != self.cache}

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.path.pan import crop_views, pan
        from astrogate.rendering.cache import FrameCache
        from astrogate.rendering.render import render

        recipe, kept = self.recipe(model), FrameCache(self.cache)
        if self.how == "canvas":
            side = self.size or model.size
            point = model.point(
                self.prompt, seed=self.seed, negative=self.negative, height=side, width=self.wide * side
            )
            wide = replace(recipe, height=None, width=None, stride=self.stride or max(8, model.size // 4))

            def views() -> Iterator[Frame]:
                yield from crop_views(next(render(model, point, recipe=wide, cache=kept)), self.n, width=side)

            def whole() -> Iterator[Frame]:
                return render(model, point, recipe=wide, cache=kept)

            return Plan(views, self.n, line=self.how, whole=whole, fps=self.fps)
        points = self.points(model, self.prompt)
        way = pan(*points, closed=self.loop, by="columns" if self.how == "columns" else "window")

        def frames() -> Iterator[Frame]:
            return render(model, way.sample(self.n), recipe=recipe, batch_size=self.at_once, cache=kept)

        return Plan(frames, self.n, line=self.how, fps=self.fps)
