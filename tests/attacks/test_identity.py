"""A fingerprint names a checkpoint, however it is computed with; it changes with the weights, and with nothing else."""

from __future__ import annotations

import functools
import shutil
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import astrogate as ag
from astrogate.core.protocols import UNKNOWN
from astrogate.models.identity import _mark, digest_of  # pyright: ignore[reportPrivateUsage]
from astrogate.models.loading.load import load, wrap
from astrogate.models.sampler.loop import of_kind
from tests.models.test_extras import ip_adapter

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(2)


def offloaded(pipe: Any) -> None:
    import accelerate

    accelerate.cpu_offload(pipe.unet, execution_device=torch.device("cpu"))


def fused(pipe: Any) -> None:
    pipe.unet.fuse_qkv_projections()


def cast(pipe: Any) -> None:
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def grouped(pipe: Any) -> None:
    pipe.unet.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")


def with_a_token(pipe: Any) -> None:
    width = pipe.text_encoder.get_input_embeddings().weight.shape[1]
    pipe.load_textual_inversion({"<new>": torch.ones(width)}, token="<new>")


def with_an_adapter(pipe: Any) -> None:
    from peft import LoraConfig

    pipe.unet.add_adapter(LoraConfig(target_modules=["to_q"]))


WAYS = (offloaded, fused, cast, grouped, with_a_token, with_an_adapter, lambda pipe: pipe.unet.half())


@pytest.mark.parametrize("change", WAYS, ids=[getattr(way, "__name__", "half") for way in WAYS])
def test_how_a_model_is_computed_with_does_not_change_it(tiny_folder: Path, change: Callable[[Any], None]) -> None:
    plain = load(str(tiny_folder), device="cpu")
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    change(pipe)
    model = wrap(pipe)
    assert model.fingerprint == plain.fingerprint
    direction = ag.contrast(plain, "fat", "thin", media=("painting",), subjects=("dog",))
    point = model.point(PROMPT)
    if model.dtype == "float32":
        assert next(ag.render(model, [point.apply(direction.at(point))], recipe=RECIPE)).image.size == (16, 16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dtype_is_no_other_model(tiny_folders: Callable[[str], Path], family: str, dtype: str) -> None:
    folder = str(tiny_folders(family))
    assert load(folder, device="cpu", dtype=dtype).fingerprint == load(folder, device="cpu").fingerprint


def test_stacks_keep_theirs(stack: Any, tmp_path: Path) -> None:
    from astrogate.models.unclip.load import save_unclip

    save_unclip(stack, tmp_path / "again")
    found = {load(str(tmp_path / "again"), device="cpu", dtype=dtype).fingerprint for dtype in ("float32", "bfloat16")}
    assert found == {stack.fingerprint}


def test_other_weights_are_another_model(tiny_folder: Path, tmp_path: Path) -> None:
    plain = load(str(tiny_folder), device="cpu")
    folder = shutil.copytree(tiny_folder, tmp_path / "other")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"] + 0.01
    save_file(tensors, path, {"format": "pt"})
    assert load(str(folder), device="cpu").fingerprint != plain.fingerprint

    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    with torch.no_grad():
        pipe.unet.conv_in.weight.add_(0.01)
    changed = wrap(pipe)
    assert changed.fingerprint != plain.fingerprint
    with pytest.raises(ag.AstrogateError, match="another model"):
        next(ag.render(changed, [plain.point(PROMPT)], recipe=RECIPE))


def test_a_part_that_is_exchanged_is_noticed(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    model = wrap(pipe)
    before, point = model.fingerprint, model.point(PROMPT)
    other: Any = load(str(tiny_folder), device="cpu").pipe.unet
    with torch.no_grad():
        other.conv_out.bias.add_(1)
    pipe.unet = other
    assert model.fingerprint != before
    with pytest.raises(ag.AstrogateError, match="another model"):
        next(ag.render(model, [point], recipe=RECIPE))


def test_a_part_that_was_made_in_memory_is_known_by_its_values() -> None:
    torch.manual_seed(0)
    a = torch.nn.Linear(3, 3)
    b = torch.nn.Linear(3, 3)
    assert digest_of(a) != digest_of(b)
    b.load_state_dict(a.state_dict())
    assert digest_of(torch.nn.Linear(3, 3)) != digest_of(a)


def sharpened(pipe: Any) -> None:
    """One value, which no sample of a few would see."""
    with torch.no_grad():
        pipe.unet.conv_in.weight.view(-1)[-2] += 1


def tiled(pipe: Any) -> None:
    pipe.vae.enable_tiling()


def looking_otherwise(pipe: Any) -> None:
    from diffusers.models.attention_processor import AttnProcessor

    pipe.unet.set_attn_processor(AttnProcessor())


def eased(pipe: Any) -> None:
    pipe.unet.conv_norm_out.eps = 5.0


def learning(pipe: Any) -> None:
    pipe.unet.train()


def another_table(pipe: Any) -> None:
    pipe.scheduler.alphas_cumprod = pipe.scheduler.alphas_cumprod**2


def a_row_of_data(pipe: Any) -> None:
    weight = pipe.unet.mid_block.resnets[0].conv1.weight.data.flatten(1)
    weight[1, 1:3] = 0


def lists_of_numbers(pipe: Any) -> None:
    pipe.unet.mid_block.scale = [0.5, 2.0]


def a_text(pipe: Any) -> None:
    pipe.unet.mid_block.mode = "b"


def a_buffer_that_is_not_saved(pipe: Any) -> None:
    next(iter(pipe.text_encoder.buffers()))[0, 0] += 1


CHANGES = (sharpened, tiled, looking_otherwise, eased, learning, another_table, a_row_of_data, lists_of_numbers, a_text)
CHANGES += (a_buffer_that_is_not_saved,)


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_no_old_picture_of_a_model_that_was_changed(tiny_folder: Path, change: Callable[[Any], None]) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    before = wrap(pipe).weights
    assert wrap(pipe).weights == before
    change(pipe)
    after = wrap(pipe).weights
    assert after != before
    assert wrap(pipe).weights == after


def test_a_shift_that_was_set_is_in_the_key_and_stays(tiny_folders: Callable[[str], Path]) -> None:
    model: Any = load(str(tiny_folders("stable_diffusion_3")), device="cpu")
    scheduler, found = model.pipe.scheduler, list[str]()
    for shift in (3.0, 12.0, 3.0):
        scheduler.set_shift(shift)
        found.append(model.weights)
    assert found[0] == found[2] != found[1]
    scheduler.set_shift(12.0)
    assert of_kind(type(scheduler), scheduler).shift == 12.0


def hook(module: Any, args: Any, out: Any) -> Any:
    return out * 5


class Scaled(torch.nn.Module):
    """A layer of the user's."""

    def __init__(self, of: torch.nn.Module) -> None:
        super().__init__()
        self.of, self.delta = of, torch.ones(1)

    def forward(self, x: Any) -> Any:
        return self.of(x) * self.delta


class Counting:
    n = 0

    def __call__(self, module: Any, args: Any, out: Any) -> None:
        self.n += 1


def hooked(pipe: Any, patch: Any) -> None:
    pipe.unet.mid_block.register_forward_hook(hook)


def hooked_before(pipe: Any, patch: Any) -> None:
    pipe.unet.mid_block.register_forward_pre_hook(lambda module, args: None)


def counted(pipe: Any, patch: Any) -> None:
    pipe.unet.mid_block.register_forward_hook(Counting())


def hooked_everywhere(pipe: Any, patch: Any) -> None:
    patch.setitem(torch.nn.modules.module._global_forward_hooks, 0, lambda module, args, out: None)


def processor(pipe: Any, patch: Any) -> None:
    from diffusers.models.attention_processor import AttnProcessor2_0

    class Mine(AttnProcessor2_0):
        pass

    pipe.unet.set_attn_processor(Mine())


def forward_replaced(pipe: Any, patch: Any) -> None:
    own = pipe.unet.conv_in.forward
    pipe.unet.conv_in.forward = functools.wraps(own)(lambda x: own(x) * 3)


def decode_replaced(pipe: Any, patch: Any) -> None:
    pipe.vae.decode = functools.partial(pipe.vae.decode, return_dict=True)


def another_step(pipe: Any, patch: Any) -> None:
    own = pipe.scheduler.step
    pipe.scheduler.step = lambda out, *args, **more: own(out * 2, *args, **more)


def a_bound_step(pipe: Any, patch: Any) -> None:
    own = pipe.scheduler.step
    pipe.scheduler.step = types.MethodType(lambda self, *args, **more: own(*args, **more), pipe.scheduler)


def prepared_otherwise(pipe: Any, patch: Any) -> None:
    pipe.prepare_latents = functools.partial(pipe.prepare_latents)


def a_layer(pipe: Any, patch: Any) -> None:
    pipe.unet.conv_norm_out = Scaled(pipe.unet.conv_norm_out)


def another_class(pipe: Any, patch: Any) -> None:
    layer, own = pipe.unet.conv_in, type(pipe.unet.conv_in)
    layer.__class__ = type("Patched", (own,), {"forward": lambda self, x: own.forward(self, x)})


def a_patched_class(pipe: Any, patch: Any) -> None:
    from diffusers.models.attention import BasicTransformerBlock

    own = BasicTransformerBlock.forward
    patch.setattr(BasicTransformerBlock, "forward", functools.wraps(own)(lambda self, *a, **k: own(self, *a, **k)))


CODE = (hooked, hooked_before, counted, hooked_everywhere, processor, forward_replaced, decode_replaced, another_step)
CODE += (a_bound_step, prepared_otherwise, a_layer, another_class, a_patched_class)


@pytest.mark.parametrize("change", CODE, ids=[change.__name__ for change in CODE])
def test_what_code_of_others_draws_is_not_kept(
    tiny_folder: Path, tmp_path: Path, change: Callable[[Any, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change at any call, by what no key can see."""
    model: Any = load(str(tiny_folder), device="cpu")
    point, cache = model.point(PROMPT), ag.FrameCache(tmp_path)
    plain = next(ag.render(model, [point], recipe=RECIPE, cache=cache)).weights
    change(model.pipe, monkeypatch)
    assert not plain.startswith(UNKNOWN)
    assert model.weights.startswith(UNKNOWN)
    assert model.weights != model.weights
    with pytest.warns(ag.AstrogateWarning, match="code of others works in the model"):
        frame = next(ag.render(model, [replace(point, model=model.fingerprint)], recipe=RECIPE, cache=cache))
    assert frame.weights.startswith(UNKNOWN)
    assert len(list(tmp_path.rglob("*.png"))) == 1


def test_a_hook_that_comes_between_two_frames_leaves_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    points = [model.point(PROMPT, seed=seed) for seed in range(3)]
    frames = ag.render(model, points, recipe=RECIPE, batch_size=1, cache=ag.FrameCache(tmp_path))
    next(frames)
    model.pipe.unet.mid_block.register_forward_hook(hook)
    assert len(list(frames)) == 2
    assert len(list(tmp_path.rglob("*.png"))) == 1


def test_the_scale_of_an_ip_adapter_is_in_the_key(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    pipe.unet._load_ip_adapter_weights([ip_adapter(pipe.unet, 24, 4)])
    found = list[str]()
    for scale in (1.0, 0.2, 1.0):
        for look in pipe.unet.attn_processors.values():
            if hasattr(look, "scale"):
                look.scale = [scale] * len(look.scale)
        found.append(wrap(pipe).weights)
    assert found[0] == found[2] != found[1]
    assert not found[0].startswith(UNKNOWN)


def test_a_model_that_changes_between_two_frames_leaves_no_wrong_picture(tiny_folder: Path, tmp_path: Path) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    points, cache = [model.point(PROMPT, seed=seed) for seed in range(3)], ag.FrameCache(tmp_path)
    plain = [frame.image.tobytes() for frame in ag.render(model, points, recipe=RECIPE, batch_size=1)]
    frames = ag.render(model, points, recipe=RECIPE, batch_size=1, cache=cache)
    kept = model.pipe.unet.conv_out.weight.detach().clone()
    assert next(frames).image.tobytes() == plain[0]
    model.pipe.unet.conv_out.weight.data *= 5
    changed = [frame.image.tobytes() for frame in frames]
    again = list(ag.render(model, points, recipe=RECIPE, batch_size=1, cache=cache))
    assert [frame.image.tobytes() for frame in again[1:]] == changed
    model.pipe.unet.conv_out.weight.data.copy_(kept)
    frames = ag.render(model, points, recipe=RECIPE, batch_size=1, cache=cache)
    assert [frame.image.tobytes() for frame in frames] == plain


def test_what_marks_a_tensor_of_a_device_sees_every_change() -> None:
    """On a device a tensor is read anew only where its mark says that it was changed."""
    tensor = torch.randn(300, 300)
    marks = [_mark(tensor)]
    for change in (lambda t: t.add_(1), lambda t: t.data[7, 3:9].zero_(), lambda t: t.data.mul_(2)):
        change(tensor)
        marks.append(_mark(tensor))
    assert len(set(marks)) == len(marks)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.complex64):
        assert _mark(torch.ones(3, 3, dtype=dtype)) == _mark(torch.ones(3, 3, dtype=dtype))


def test_one_value_is_another_model(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    sharpened(pipe)
    assert wrap(pipe).fingerprint != load(str(tiny_folder), device="cpu").fingerprint


def test_changes_behind_torchs_back_are_seen(tiny_folder: Path) -> None:
    """`data` has a version of its own; PEFT merges LoRAs through it."""
    model: Any = load(str(tiny_folder), device="cpu")
    before = model.weights
    model.pipe.unet.conv_in.weight.data *= 1.5
    assert model.weights != before


def test_a_relative_folder_is_the_same_model_from_elsewhere(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(str(tiny_folder), device="cpu").fingerprint
    monkeypatch.chdir(tiny_folder.parent)
    half = load(tiny_folder.name, device="cpu", dtype="float16")
    monkeypatch.chdir(tmp_path)
    assert half.fingerprint == whole


def test_a_folder_that_is_gone_is_no_traceback(tiny_folder: Path, tmp_path: Path) -> None:
    whole = load(str(tiny_folder), device="cpu").fingerprint
    shutil.copytree(tiny_folder, tmp_path / "x")
    model = load(str(tmp_path / "x"), device="cpu")
    shutil.rmtree(tmp_path / "x")
    assert model.fingerprint == whole


class Packed(torch.Tensor):
    """A weight of whole numbers and their scale, of which nothing but a linear layer can be computed."""

    numbers: torch.Tensor
    scale: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor, scale: torch.Tensor) -> Packed:
        made = torch.Tensor._make_wrapper_subclass(cls, numbers.shape, dtype=torch.float32)  # type: ignore[attr-defined]
        made.numbers, made.scale = numbers, scale
        return made

    @classmethod
    def of(cls, weight: torch.Tensor) -> Packed:
        scale = weight.detach().abs().amax() / 127
        return cls((weight.detach() / scale).round().to(torch.int8), scale)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers", "scale"], None

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.linear:
            x, weight, *bias = args
            return func(x, weight.numbers * weight.scale, *bias)
        return super().__torch_function__(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(func)


def test_a_quantised_checkpoint_is_itself_with_weights_of_its_own(tiny_folder: Path) -> None:
    """Its directions fit, and its pictures are kept apart from the others'."""
    import diffusers

    def opened() -> Any:
        return diffusers.DiffusionPipeline.from_pretrained(tiny_folder)

    plain, keys = ag.wrap(opened(), name="plain"), list[str]()
    for change in (0, 1, 0):
        pipe = opened()
        for module in pipe.unet.modules():
            if type(module) is torch.nn.Linear:
                module.weight = torch.nn.Parameter(Packed.of(module.weight + change), requires_grad=False)
        model = ag.wrap(pipe, name="quantised")
        assert model.fingerprint == plain.fingerprint
        keys.append(model.weights)
        direction = ag.contrast(plain, "fat", "thin", media=("photo",), subjects=("dog", "cat"))
        point = model.point("a dog", height=16, width=16)
        edit = direction.at(point)
        first, moved = model.denoise([point, point.apply(edit)], ag.Recipe(2))
        assert not torch.equal(first, moved)
    assert keys[0] == keys[2] != keys[1]
    assert keys[0] != plain.weights
