"""Requests that draw from image embeddings: `imagine`, `vary`, `blend`, `diff`, `probe`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from astrogate.actions.options import Dtype
from astrogate.actions.request import Plan, Request, argument, digest, needed, option
from astrogate.actions.typed import InputFile, Numbers, Range
from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe
from astrogate.core.texts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame
    from astrogate.models.unclip.adapter import UnCLIP


class Stacked(Request):
    """What every request says that draws from image embeddings."""

    model: str = option("menagerie-unclip", "A checkpoint of unCLIP.")
    prior_model: str | None = option(None, "The prior's own checkpoint, as Kandinsky has it.")
    device: str | None = option(None, "cpu, cuda, mps; by default a CUDA GPU if there is one.")
    dtype: Dtype = option("float32", "What the model computes in.")
    offline: bool = option(False, "Never ask the hub; use the local cache.")
    variant: str | None = option(None, "Files of another precision, e.g. fp16.  [default: the plain ones, if any]")
    steps: int = option(50, "Denoising steps.")
    guidance: float = option(1.0, "Guidance scale; 1 is none.")
    batch_size: int = option(8, "Pictures drawn at once.", ge=1, le=1000)
    seed: int = option(0, "The first seed.", ge=0)

    def recipe(self) -> Recipe:
        """The sampler settings, checked."""
        return Recipe(self.steps, self.guidance)

    def check(self) -> None:
        """See `Request.check`; picture files are read before anything heavy is loaded."""
        from astrogate.rendering.pixels import read_picture

        super().check()
        self.recipe()
        for path in self.files().values():
            if not path.is_dir():
                read_picture(path)

    def load(self) -> Model:
        """The stack."""
        from astrogate.methods.image.encode import unclip
        from astrogate.models.loading.load import load

        options = {"dtype": self.dtype, "offline": self.offline, "prior": self.prior_model, "variant": self.variant}
        return unclip(load(self.model, device=self.device, **options))  # type: ignore[arg-type]

    def drawn(
        self, stack: Model, points: Sequence[Point], columns: Sequence[str], rows: Sequence[str] = (), line: str = ""
    ) -> Plan:
        """The plan of drawing points row by row, a column per label."""

        def frames() -> Iterator[Frame]:
            from astrogate.rendering.render import render

            return render(stack, points, recipe=self.recipe(), batch_size=self.batch_size)

        line = line or counted(len(points), "picture")
        return Plan(frames, len(points), tuple(columns), tuple(rows), line=line)


class Shown(Stacked):
    """What every request says that starts from pictures."""

    iterations: int = option(5, "Iterations for each step of the inversion.", ge=1, le=1000)

    def encoded(self, stack: UnCLIP, *images: Path) -> list[Point]:
        """Picture files as points, at the stack's own size."""
        import torch

        from astrogate.methods.image.encode import encode
        from astrogate.rendering.pixels import fitted, read_picture

        side = stack.picture_size
        pictures = torch.stack([fitted(read_picture(image), side, side) for image in images])
        return encode(stack, pictures, seed=self.seed, recipe=self.recipe(), iterations=self.iterations)


class Imagine(Stacked):
    """Draw PROMPT: a prior says what the picture shows, the decoder draws it."""

    kind: ClassVar[str] = "imagine"
    brief: ClassVar[str] = "Draw a prompt by a prior, or by none."
    prompt: str = argument("What to draw.")
    prior: Literal["diffusion", "ar", "none"] = option(
        "diffusion", "none puts the text's own embedding into the decoder."
    )
    candidates: int = option(2, "Drawn by the prior; the best fitting is kept.", ge=1, le=1000)
    prior_guidance: float | None = option(None, "Guidance of the prior.  [default: the stack's own]")
    noise_level: int = option(0, "Noise on the embedding, to forgive the prior.", ge=0)
    bare: bool = option(False, "The decoder does not read the prompt itself.")
    upscale: bool = option(False, "Enlarge the pictures by the stack's upsamplers.")
    n: int = option(4, "Pictures, one per seed.", flag="-n", ge=1, le=1000)
    steps: int = option(20, "Denoising steps.")
    guidance: float = option(3.0, "Guidance scale; 1 is none.")

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.image.encode import unclip
        from astrogate.methods.image.imagine import imagine
        from astrogate.models.registry import require
        from astrogate.rendering.render import render
        from astrogate.rendering.upscale import upscale

        stack = unclip(model)
        if self.upscale:
            large = "draw without: its decoder makes them as large" if stack.stack.upsamplers else ""
            require(stack, "upscale", remedy=large)
        seeds = [self.seed + i for i in range(self.n)]
        points = imagine(
            stack,
            [self.prompt] * self.n,
            seeds=seeds,
            kind=self.prior,
            candidates=self.candidates,
            guidance_scale=self.prior_guidance,
            captioned=not self.bare,
            noise_level=self.noise_level,
            batch_size=self.batch_size,
        )

        def frames() -> Iterator[Frame]:
            drawn = render(stack, points, recipe=self.recipe(), batch_size=self.batch_size)
            return upscale(stack, drawn) if self.upscale else drawn

        return Plan(frames, self.n, tuple(f"seed {seed}" for seed in seeds), line=counted(self.n, "picture"))


class Vary(Shown):
    """Draw IMAGE again with more and more of it left to chance; at eta 0 it is the reconstruction."""

    kind: ClassVar[str] = "vary"
    brief: ClassVar[str] = "Vary a picture: keep what CLIP sees of it."
    image: InputFile = argument("A picture file.")
    eta: Range = option((0.0, 1.0), "First and last share of DDPM's noise.")
    seeds: int = option(1, "Rows, one per seed.", ge=1, le=1000)
    n: int = option(8, "Pictures in a strip.", flag="-n", ge=1, le=1000)

    def check(self) -> None:
        """See `Request.check`."""
        for eta in self.eta:
            replace(self.recipe(), eta=eta)
        super().check()

    def total(self) -> int:
        """See `Request.total`."""
        return self.seeds * self.n

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.image.encode import unclip
        from astrogate.methods.image.vary import vary
        from astrogate.rendering.render import render
        from astrogate.rendering.strip import labels, spaced

        stack, etas = unclip(model), spaced(*self.eta, self.n)
        points = vary(self.encoded(stack, self.image)[0], self.seeds, seed=self.seed)

        def frames() -> Iterator[Frame]:
            columns = [
                render(stack, points, recipe=replace(self.recipe(), eta=eta), batch_size=self.batch_size)
                for eta in etas
            ]
            for _ in points:
                for column in columns:
                    yield next(column)

        rows = [f"seed {self.seed + i}" for i in range(self.seeds)] if self.seeds > 1 else []
        heads = [f"eta {eta}" for eta in labels(etas, "")]
        total = self.seeds * self.n
        return Plan(frames, total, tuple(heads), tuple(rows), facts={"etas": etas}, line=counted(total, "picture"))


class Blend(Shown):
    """Draw the way from FIRST to SECOND; in the first row the noise turns, too, and the ends are reconstructions."""

    kind: ClassVar[str] = "blend"
    brief: ClassVar[str] = "Go from one picture to another through CLIP's space."
    first: InputFile = argument("The picture to start from.")
    second: InputFile = argument("The picture to end at.")
    noises: int = option(0, "More rows, each with one noise from end to end.", ge=0, le=100)
    n: int = option(8, "Pictures in a strip.", flag="-n", ge=1, le=1000)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        if digest(self.first) == digest(self.second):
            raise AstrogateError(f"{self.first} and {self.second} are the same picture", "name two that differ")

    def total(self) -> int:
        """See `Request.total`."""
        return (1 + self.noises) * self.n

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.image.blend import blend
        from astrogate.methods.image.encode import unclip
        from astrogate.rendering.strip import labels, spaced

        stack = unclip(model)
        a, b = self.encoded(stack, self.first, self.second)
        seeds, us = [None, *range(self.seed, self.seed + self.noises)], spaced(0.0, 1.0, self.n)
        points = [point for seed in seeds for point in map(blend(a, b, seed=seed), us)]
        rows = ["both noises", *(f"noise {seed}" for seed in seeds[1:])] if self.noises else []
        return self.drawn(stack, points, labels(us, ""), rows)


class Diff(Shown):
    """Turn what CLIP sees of IMAGE from one caption towards another; the noise stays."""

    kind: ClassVar[str] = "diff"
    brief: ClassVar[str] = "Change a picture by the difference of two captions."
    image: InputFile = argument("A picture file.")
    before: str = option("", 'What the picture shows, e.g. "a dog"; by default nothing is said.')
    after: str = needed('What it should become, e.g. "a cat".')
    range: Range = option((0.0, 0.5), "First and last share of the way.")
    n: int = option(8, "Pictures in a strip.", flag="-n", ge=1, le=1000)

    def check(self) -> None:
        """See `Request.check`."""
        if not all(0 <= share <= 1 for share in self.range):
            raise AstrogateError(f"a range of {self.range[0]:g} to {self.range[1]:g}", "use shares from 0 to 1")
        super().check()

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.image.diff import diff
        from astrogate.methods.image.encode import unclip
        from astrogate.rendering.strip import labels, spaced

        stack = unclip(model)
        edit, thetas = diff(stack, self.before, self.after), spaced(*self.range, self.n)
        point = self.encoded(stack, self.image)[0]
        return self.drawn(stack, [point.apply(edit, theta) for theta in thetas], labels(thetas, ""))


class Probe(Shown):
    """Draw IMAGE from ever more of the principal components of image embeddings, then whole."""

    kind: ClassVar[str] = "probe"
    brief: ClassVar[str] = "See a picture through the first components of CLIP's space."
    image: InputFile = argument("A picture file.")
    ranks: Numbers = option((1, 2, 4, 8, 16, 32), "Numbers of components, with commas.")
    pictures: InputFile | None = option(None, "Folder whose pictures give the components.")

    def check(self) -> None:
        """See `Request.check`."""
        from astrogate.rendering.pixels import picture_files

        if not all(rank >= 1 for rank in self.ranks):
            raise AstrogateError(f"ranks {', '.join(map(str, self.ranks))}", "use numbers of 1 or more")
        if self.pictures is not None and not self.pictures.is_dir():
            raise AstrogateError(f"{self.pictures} is no folder", "name a folder of pictures")
        if self.pictures is not None and max(self.ranks) >= (count := len(picture_files(self.pictures))):
            raise AstrogateError(
                f"{max(self.ranks)} components of {counted(count, 'picture')}", "name a folder of more"
            )
        super().check()

    def folders(self) -> tuple[Path | None, ...]:
        """See `Request.folders`."""
        return (self.pictures,)

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.image.encode import unclip
        from astrogate.methods.image.probe import check_ranks, components_of, probe

        stack = unclip(model)
        codebook = stack.components if self.pictures is None else components_of(stack, self.pictures)
        check_ranks(codebook, self.ranks)
        point = self.encoded(stack, self.image)[0]
        points = [*probe(point, codebook, self.ranks), point]
        return self.drawn(stack, points, [*map(str, self.ranks), "all"])
