"""Every door that an input comes by: right, or refused in one line, where others of its kind already are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile

import astrogate as ag
from astrogate.core.segment import places
from astrogate.measure.clip import own_part
from astrogate.methods.concept.explain import file_name
from astrogate.methods.edit.insert import in_prompt
from astrogate.models.loading.load import load
from astrogate.models.text.prompts import check_words
from astrogate.rendering.kept import packed, unpacked
from astrogate.rendering.pixels import read_picture, rgb
from astrogate.rendering.record import read_points, read_record, save_png, text_of
from astrogate.rendering.sheet import sheet
from astrogate.studies.edit.leakage import _code
from astrogate.studies.kit.report import pyplot, svg
from astrogate.studies.path import score
from astrogate.studies.path.score import shrunk
from tests.app.test_cli import run

Folders = Callable[[str], Path]
PROMPT = "a painting of a fat dog"


# a phrase is where the segments say


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("dog", "a cute_dog and a Dog", ["dog", "Dog"]),
        ("straße", "a STRASSE", ["STRASSE"]),
        ("cafe\u0301", "a caf\xe9 and a CAFE\u0301", ["caf\xe9", "CAFE\u0301"]),
        ("3d render", "a 3d  render", ["3d  render"]),
        ("dog", "a dogma", []),
        ("", "a dog", []),
    ],
)
def test_places_are_those_of_the_words(phrase: str, text: str, found: list[str]) -> None:
    assert [text[start:stop] for start, stop in places(phrase, text)] == found


def test_a_style_is_taken_out_where_it_is_found(tiny: Any) -> None:
    point = tiny.point("a fat_dog")
    edit = ag.style(tiny, point, "FAT", difference=True)
    moved = edit.above.steers[0].vectors["prompt_embeds"]
    bare = tiny.encode(["a _dog"])["prompt_embeds"][0]
    assert torch.equal(moved, point.tensors["prompt_embeds"] - bare)


def test_a_word_goes_before_the_one_that_is_counted(tiny: Any) -> None:
    with pytest.raises(ag.AstrogateError, match="holds 'dog' 2 times"):
        in_prompt(tiny, tiny.point("a cute_dog, a dog"), "fat", "dog")


def test_what_an_edit_says_is_read_whole(tiny: Any) -> None:
    long = "a " * 20 + "castle"
    for make in (
        lambda: ag.toward(tiny, long),
        lambda: ag.contrast(tiny, long, "fat"),
        lambda: ag.style(tiny, tiny.point("a dog"), long),
        lambda: in_prompt(tiny, tiny.point("a dog in a castle"), "fat " * 20, "castle"),
    ):
        with pytest.raises(ag.AstrogateError, match="is too long for"):
            make()


def test_one_text_is_no_list_of_them(tiny: Any) -> None:
    for ask in (
        lambda: tiny.encode("a dog"),
        lambda: check_words("a dog", ()),
        lambda: ag.contrast(tiny, "fat", "thin", subjects="dog"),
        lambda: ag.contrast(tiny, "fat", "thin", media="painting"),
    ):
        with pytest.raises(ag.AstrogateError, match="one text"):
            ask()


def test_a_stack_says_what_it_cuts_off(stack: Any) -> None:
    long = "a " * 60 + "dog"
    for read in (lambda: stack.embed_text([long]), lambda: stack.encode([long])):
        with pytest.warns(ag.AstrogateWarning, match="was cut off"):
            read()


# pictures


@pytest.mark.parametrize(
    "pictures",
    [
        torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        torch.full((1, 3, 16, 16), 255.0),
        torch.full((1, 3, 16, 16), -1.0),
        torch.full((1, 3, 16, 16), float("nan")),
        torch.zeros(3, 16, 16),
        torch.zeros(1, 4, 16, 16),
        torch.zeros(0, 3, 16, 16),
    ],
    ids=["eight bits", "0 to 255", "-1 to 1", "nan", "three axes", "four channels", "none"],
)
def test_tensors_that_are_no_pictures_are_refused(tiny: Any, stack: Any, clip: Any, pictures: torch.Tensor) -> None:
    for read in (
        ag.load_oracle().read,
        clip.images,
        tiny.latents,
        stack.embed,
        lambda x: stack.upscale(x, seeds=[0] * len(x)),
    ):
        with pytest.raises(ag.AstrogateError, match=r"pictures are .*give \[n, 3, h, w\] in \[0, 1\]"):
            read(pictures)


@pytest.mark.parametrize("image", ["x.png", None, np.zeros((4, 4, 3), np.uint8), Image.new("RGB", (0, 4))])
def test_what_is_no_image_is_refused(image: Any) -> None:
    for use in (rgb, lambda one: ag.fitted(one, 4, 4), lambda one: ag.to_tensor([one]), lambda one: sheet([one])):
        with pytest.raises(ag.AstrogateError, match="no image"):
            use(image)


def test_half_a_picture_is_refused_whatever_pillow_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in ("x.png", "x.jpg"):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(ag.AstrogateError, match="no picture"):
            read_picture(tmp_path / name)
        assert ImageFile.LOAD_TRUNCATED_IMAGES


def with_profile(image: Image.Image, profile: bytes, form: str = "PNG") -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, form, icc_profile=profile)
    buffer.seek(0)
    return Image.open(buffer)


def test_colours_are_those_that_a_file_means() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    for profile in (own, b"junk"):
        assert np.array_equal(rgb(with_profile(Image.fromarray(pixels), profile)), pixels)
    swapped = bytearray(own)
    red, green = own.index(b"rXYZ"), own.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    for mode in ("RGB", "RGBA"):
        image = Image.new("RGB", (4, 4), (200, 30, 30)).convert(mode)
        assert rgb(with_profile(image, bytes(swapped))).getpixel((0, 0)) == (30, 200, 30)
    assert rgb(with_profile(Image.new("L", (4, 4), 120), own, "JPEG")).getpixel((0, 0)) == (120, 120, 120)


def test_sixteen_bits_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((4, 8), np.uint16)
    pixels[:, :4] = 65535
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    upright = read_picture(tmp_path / "x.png")
    assert upright.size == (4, 8)
    assert [upright.getpixel((1, y)) for y in (1, 6)] == [(255, 255, 255), (0, 0, 0)]


def test_scoring_is_bounded(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ((1, 1000), (65000, 1)):
        pictures = shrunk([Image.new("RGB", size)] * 2)
        for use in (clip.images, lambda x: clip.between(x, x)):
            with pytest.raises(ag.AstrogateError, match="at most 16 to 1"):
                use(pictures)
    assert shrunk([Image.new("RGB", (16, 250))] * 2).shape == (2, 3, 224, 14)
    monkeypatch.setattr(score, "_MOST", 5_000)
    with pytest.raises(ag.AstrogateError, match="score a shorter part"):
        shrunk(Image.new("RGB", (32, 32)) for _ in range(100_000_000))


# torch's state


STATES: dict[str, Callable[[], Any]] = {
    "meta device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
}


@pytest.mark.parametrize("state", [*STATES, "float64"])
def test_what_is_torchs_default_changes_nothing(tiny: Any, tiny_folder: Path, clip: Any, state: str) -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def found() -> list[torch.Tensor]:
        oracle = ag.load_oracle()
        direction = ag.contrast(tiny, "fat", "thin", subjects=("dog", "cat"), media=("painting", "photo"))
        own = load(str(tiny_folder), device="cpu")
        return [
            oracle.read(pictures).values["build"],
            oracle.features(pictures),
            *direction.vectors.values(),
            own.denoise([own.point(PROMPT, seed=1)], ag.Recipe(1)),
            clip.images(pictures),
        ]

    usual = found()
    if state == "float64":
        torch.set_default_dtype(torch.float64)
        try:
            others = found()
        finally:
            torch.set_default_dtype(torch.float32)
    else:
        with STATES[state]():
            others = found()
    assert all(torch.equal(a, b) for a, b in zip(usual, others, strict=True))
    assert not any(other.is_inference() for other in others)


# numbers that are none


def test_what_a_clamp_would_hide(stack: Any, tmp_path: Path) -> None:
    picture = torch.rand(1, 3, stack.picture_size, stack.picture_size)
    for part, weight, use in (
        ("upsampler", "conv_out.bias", lambda: stack.upscale(picture, seeds=[0])),
        ("prior", "proj_to_clip_embeddings.bias", lambda: stack.imagine(["a dog"], seeds=[0], kind="diffusion")),
        ("ar_prior", "lm_head.weight", lambda: stack.imagine(["a dog"], seeds=[0], kind="ar")),
    ):
        tensor = dict(stack.parts[part].named_parameters()).get(weight)
        tensor = next(iter(stack.parts[part].parameters())) if tensor is None else tensor
        before = tensor.detach().clone()
        with torch.no_grad():
            tensor.fill_(float("inf"))
        try:
            with pytest.raises(ag.AstrogateError, match="no finite numbers"):
                use()
        finally:
            with torch.no_grad():
                tensor.copy_(before)


def test_what_a_scheduler_would_clamp(tiny_folder: Path) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    model.pipe.scheduler = type(model.pipe.scheduler).from_config(model.pipe.scheduler.config, clip_sample=True)
    with torch.no_grad():
        model.denoiser.conv_out.bias[0] = float("inf")
    with pytest.raises(ag.AstrogateError, match=r"holds weights that are no finite numbers: conv_out\.bias"):
        list(ag.render(model, model.point(PROMPT), recipe=ag.Recipe(2, 1.0)))


# values


def test_a_scheduler_has_a_name() -> None:
    from diffusers import DDIMScheduler

    for wrong in (DDIMScheduler, DDIMScheduler(), 3):
        with pytest.raises(ag.AstrogateError, match="name its class"):
            ag.Recipe(2, scheduler=wrong)  # type: ignore[arg-type]


def test_the_checkpoints_own_scheduler_is_tried_first(tiny_folder: Path) -> None:
    from diffusers import LCMScheduler

    model: Any = load(str(tiny_folder), device="cpu")
    model.pipe.scheduler = LCMScheduler.from_config(model.pipe.scheduler.config)
    with pytest.raises(ag.AstrogateError, match="LCM does not take 60 steps here"):
        model.denoise([model.point(PROMPT)], ag.Recipe(60))
    assert model.denoise([model.point(PROMPT)], ag.Recipe(2)).isfinite().all()


def test_a_record_that_cannot_be_written_is_one_line(frame: ag.Frame, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for more in ({"w": object()}, {"w": deep}, {"w": {1, 2}}):
        with pytest.raises(ag.AstrogateError, match="the record can't be written"):
            text_of(frame, more)
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_taken(tiny: Any) -> None:
    point = tiny.point("a dog", seed=1)
    near, own = (ag.neighbourhood(point, e, ways=np.int64(1)) for e in (np.linspace(0, 1, 3), (0.0, 0.5, 1.0)))
    assert all(torch.equal(a.tensors["latents"], b.tensors["latents"]) for a, b in zip(near, own, strict=True))
    with pytest.raises(ag.AstrogateError, match="tile"):
        sheet([Image.new("RGB", (8, 8))], tile=10**7)


def test_a_stack_stays_what_it_is(stack: Any) -> None:
    with pytest.raises(TypeError):
        stack.stack.parts["decoder"] = None


# files


def test_a_folder_is_bounded_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from astrogate.actions import request
    from astrogate.models.loading import opened

    for i in range(12):
        (tmp_path / f"{i}.json").write_text("{}")
    monkeypatch.setattr(opened, "_FILES", 10)
    monkeypatch.setattr(request, "_MOST", 10)
    for look in (opened.listed, request.digest):
        with pytest.raises(ag.AstrogateError, match="more than 10 files"):
            look(tmp_path)
    (tmp_path / "11.json").unlink()
    (tmp_path / "10.json").unlink()
    opened.listed(tmp_path)
    assert len(request.digest(tmp_path)) == 16


def test_a_record_reads_no_folder_that_it_should_not(frame: ag.Frame, tmp_path: Path) -> None:
    asked = {"request": {"kind": "vary", "image": "/"}, "files": {"/": "x"}}
    save_png(frame.image, tmp_path / "x.png", frame=frame, more=asked)
    code, _, err = run("again", str(tmp_path / "x.png"))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is a folder" in err


@pytest.mark.parametrize(
    ("part", "setting", "value", "match"),
    [
        ("tokenizer/tokenizer_config.json", "model_max_length", 1000, "reads 1000 tokens"),
        ("tokenizer/tokenizer_config.json", "model_max_length", 10**30, "tokens"),
        ("tokenizer/tokenizer_config.json", "model_max_length", 1, "reads 1 tokens"),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 10**9, "num_train_timesteps"),
        ("scheduler/scheduler_config.json", "num_train_timesteps", 0, "num_train_timesteps"),
        ("unet/config.json", "sample_size", 20_000, "pixels"),
        ("unet/config.json", "sample_size", 10**9, "pixels"),
    ],
)
def test_numbers_of_a_folder_are_bounded(
    tiny_folder: Path, tmp_path: Path, part: str, setting: str, value: int, match: str
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    settings = json.loads((folder / part).read_text())
    (folder / part).write_text(json.dumps({**settings, setting: value}))
    with pytest.raises(ag.AstrogateError, match=match):
        load(str(folder), device="cpu").point(PROMPT)


@pytest.mark.parametrize("wrong", [{"tile": float("inf")}, {"middle": float("inf")}, {"middle": 99}, {"tile": 10**7}])
def test_a_layout_is_looked_at_before_anything_is_drawn(tiny: Any, tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "x.png"
    point = tiny.point("a dog")
    strip = ag.strip(tiny, point, ag.toward(tiny, "a cat"), n=2, recipe=ag.Recipe(1))
    strip.save(path, tile=16)
    layout = {**read_record(path)["strip"], **wrong}
    save_png(strip.image(tile=16), path, frame=strip.frames[0], more={"strip": layout}, points=packed(strip.frames))
    code, _, err = run("again", str(path), "-o", str(tmp_path / "y.png"))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "damaged" in err


@pytest.mark.parametrize(
    "command",
    [
        ("bench", "leakage", "--seeds", "1000000000"),
        ("reproduce", "latent-walks", "-n", "100000000"),
        ("reproduce", "style-strength", "--seeds", "1000000000"),
        ("train", "menagerie", "--pictures", "1000000000000"),
        ("train", "prior", "--seed", "18446744073709551616"),
        ("train", "student", "--drawings", "1000000000"),
        ("card", "--captions", "1000000000"),
        ("explain", "a dog", "--train-pictures", "1000000000"),
        ("explain", "a dog", "--fit-seed", "-1"),
        ("explain", "a dog", "--fit-seed", "4294967296"),
    ],
)
def test_counts_and_seeds_are_bounded(command: tuple[str, ...]) -> None:
    code, _, err = run(*command)
    assert (code, len(err.splitlines())) == (2, 1), err


@pytest.mark.parametrize("letter", ["x", "猫"])
def test_a_long_concept_names_a_file(tmp_path: Path, letter: str) -> None:
    long = [letter * 300, letter * 299 + "y"]
    assert len({file_name(concept) for concept in long}) == 2
    for concept in long:
        (tmp_path / f"{file_name(concept)}-0123456789abcdef.html").touch()
    assert file_name("a Zebra horse") == "a-zebra-horse"


# what a reader sees


def test_rows_are_told_apart(tiny: Any) -> None:
    def rows(*points: ag.Point) -> tuple[str, ...]:
        return ag.strip(tiny, points, ag.toward(tiny, "a castle"), n=1, recipe=ag.Recipe(1)).rows

    dog, cat = tiny.point("a dog"), tiny.point("a cat")
    assert rows(dog, tiny.point("a dog", seed=1)) == ("seed 0", "seed 1")
    assert rows(dog, cat) == ("a dog", "a cat")
    assert rows(dog, cat, tiny.point("a cat", seed=1)) == ("a dog, seed 0", "a cat, seed 0", "a cat, seed 1")
    assert rows(dog, dog.with_noise(0, draw=1)) == ("picture 1", "picture 2")


def test_a_large_sheet_is_read_again(frame: ag.Frame, tmp_path: Path) -> None:
    large = Image.new("1", (10_000, 5_100))
    save_png(large, tmp_path / "x.png", frame=frame, points=packed([frame]))
    assert read_record(tmp_path / "x.png")["point"]["prompt"] == frame.point.prompt
    assert unpacked(read_points(tmp_path / "x.png"), "x")


def test_words_are_no_formulae() -> None:
    figure, axis = pyplot().subplots()
    axis.plot([0, 1], label="$$ cost $5 and $6 \\frac x^$")
    axis.legend()
    assert "<svg" in svg(figure)


def test_code_of_others_is_part_of_a_cell() -> None:
    assert _code(ag.contrast) == ""
    assert _code(run) == _code(test_rows_are_told_apart.__globals__["run"]) != ""
    assert _code(test_words_are_no_formulae) != _code(run)


@pytest.fixture(scope="module")
def frame(tiny: Any) -> ag.Frame:
    return next(ag.render(tiny, [tiny.point(PROMPT)], recipe=ag.Recipe(1)))


def test_a_config_beside_a_folder_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ag.AstrogateError, match=r"is no single file: leave it out"):
        load(str(tiny_folder), device="cpu", config=str(tiny_folder))


def test_points_share_no_tensor_with_what_made_them(stack: Any) -> None:
    """Changed in place, they change no other point; and a changed encoder makes others."""
    point, again = (stack.point("a dog", seed=1) for _ in range(2))
    for tensor in point.tensors.values():
        tensor.mul_(3) if tensor.is_floating_point() else tensor.zero_()
    other = stack.point("a dog", seed=1)
    assert all(torch.equal(again.tensors[space], tensor) for space, tensor in other.tensors.items())


def test_the_own_clip_of_a_folder_with_a_plus_is_its_own(tmp_path: Path) -> None:
    for name in ("a", "a+b"):
        (tmp_path / name / "clip").mkdir(parents=True)
    assert own_part(str(tmp_path / "a+b"), "clip") == tmp_path / "a+b" / "clip"
    assert own_part(str(tmp_path / "a"), "clip") == tmp_path / "a" / "clip"
    assert own_part(f"{tmp_path / 'a+b'}+student", "clip") == tmp_path / "a+b" / "clip"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": ""}, "unknown model ''"),
        ({"name": " "}, "unknown model ' '"),
        ({"name": "+x"}, r"unknown model '\+x'"),
        ({"device": "meta"}, "is not available"),
        ({"device": torch.device("meta")}, "is not available"),
        ({"device": 0}, "is not available"),
        ({"device": 1.5}, "is not available"),
        ({"device": ""}, "is not available"),
        ({"offline": "no"}, "offline 'no': say True or False"),
        ({"offload": "cpu"}, "offload 'cpu': say True or False"),
    ],
)
def test_what_load_does_not_take_is_refused(given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ag.AstrogateError, match=said):
        load(given.pop("name", "menagerie"), **given)


def test_strips_of_one_scale_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    code, _, err = run(
        *("slide", "a fat dog", "--direction", "fat:thin", "--range", "0:0", "-n", "3", "--steps", "1"),
        *("--model", str(tiny_folder), "--device", "cpu", "-o", str(tmp_path / "x.png")),
    )
    assert (code, "3 pictures from 0 to 0 are the same" in err) == (2, True)
