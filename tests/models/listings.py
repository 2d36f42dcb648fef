"""Files of repositories as they lie on the hub, with their sizes in MB; settings are left out where none are odd."""

from __future__ import annotations

from typing import Any

#: Index entries of parts by their class.
CLIP, T5, TOKEN = (
    ["transformers", "CLIPTextModel"],
    ["transformers", "T5EncoderModel"],
    ["transformers", "CLIPTokenizer"],
)
VAE, UNET = ["diffusers", "AutoencoderKL"], ["diffusers", "UNet2DConditionModel"]
EULER, FLOW = ["diffusers", "EulerDiscreteScheduler"], ["diffusers", "FlowMatchEulerDiscreteScheduler"]


def _kinds(part: str, base: str, size: float, *more: str) -> dict[str, float]:
    """A part's weights as safetensors and pickled, in both precisions; `more` are further variants of full size."""
    other = "pytorch_model" if base == "model" else base
    found = {f"{part}/{base}.safetensors": size, f"{part}/{other}.bin": size}
    found |= {f"{part}/{base}.fp16.safetensors": size / 2, f"{part}/{other}.fp16.bin": size / 2}
    return found | {f"{part}/{base}.{kind}": size for kind in more}


def _shards(part: str, base: str, sizes: list[float], variant: str = "") -> dict[str, float]:
    """A part's weights in shards, and their index."""
    dotted, n = f".{variant}" if variant else "", len(sizes)
    shards = {f"{part}/{base}{dotted}-{i:05d}-of-{n:05d}.safetensors": size for i, size in enumerate(sizes, 1)}
    return shards | {f"{part}/{base}.safetensors.index{dotted}.json": 0.1}


_DIFFUSION = "diffusion_pytorch_model"
_TOKENIZER = {f"tokenizer/{name}": 0.5 for name in ("merges.txt", "vocab.json", "tokenizer_config.json")}
_TOKENIZER_2 = {name.replace("tokenizer/", "tokenizer_2/"): size for name, size in _TOKENIZER.items()}
_XL = {
    "_class_name": "StableDiffusionXLPipeline",
    "scheduler": EULER,
    "text_encoder": CLIP,
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": TOKEN,
    "tokenizer_2": TOKEN,
    "unet": UNET,
    "vae": VAE,
}

#: Name: index, files, MB that are needed of weights.
REPOSITORIES: dict[str, tuple[dict[str, Any], dict[str, float], float]] = {
    "Stable Diffusion 1.5": (
        {
            "_class_name": "StableDiffusionPipeline",
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "feature_extractor": ["transformers", "CLIPImageProcessor"],
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": CLIP,
            "tokenizer": TOKEN,
            "unet": UNET,
            "vae": VAE,
        },
        {
            **_kinds("safety_checker", "model", 1216),
            **_kinds("text_encoder", "model", 492),
            **_kinds("unet", _DIFFUSION, 3438, "non_ema.bin", "non_ema.safetensors"),
            **_kinds("vae", _DIFFUSION, 335),
            **_TOKENIZER,
            **{
                f"v1-5-pruned{ema}.{kind}": size
                for ema, size in (("", 7700), ("-emaonly", 4270))
                for kind in ("ckpt", "safetensors")
            },
            "README.md": 0.1,
            "v1-inference.yaml": 0.1,
        },
        492 + 3438 + 335,
    ),
    "Stable Diffusion XL": (
        _XL,
        {
            **_kinds("text_encoder", "model", 492, "onnx"),
            **_kinds("text_encoder_2", "model", 2780, "onnx_data"),
            **_kinds("unet", _DIFFUSION, 10270),
            **_kinds("vae", _DIFFUSION, 335),
            **_kinds("vae_1_0", _DIFFUSION, 335),
            "unet/model.onnx": 7,
            "unet/model.onnx_data": 10270,
            "unet/openvino_model.bin": 10270,
            "text_encoder/flax_model.msgpack": 492,
            "text_encoder_2/flax_model.msgpack": 2780,
            "vae_decoder/model.onnx": 198,
            "vae_encoder/model.onnx": 137,
            "vae_decoder/openvino_model.bin": 198,
            "sd_xl_base_1.0.safetensors": 6940,
            "sd_xl_base_1.0_0.9vae.safetensors": 6940,
            "sd_xl_offset_example-lora_1.0.safetensors": 50,
            **_TOKENIZER,
            **_TOKENIZER_2,
        },
        492 + 2780 + 10270 + 335,
    ),
    "Stable Diffusion 3": (
        {
            "_class_name": "StableDiffusion3Pipeline",
            "scheduler": FLOW,
            **{f"text_encoder{n}": ["transformers", "CLIPTextModelWithProjection"] for n in ("", "_2")},
            "text_encoder_3": T5,
            **{f"tokenizer{n}": TOKEN for n in ("", "_2")},
            "tokenizer_3": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "SD3Transformer2DModel"],
            "vae": VAE,
        },
        {
            "text_encoder/model.safetensors": 247,
            "text_encoder/model.fp16.safetensors": 247,
            "text_encoder_2/model.safetensors": 1390,
            "text_encoder_2/model.fp16.safetensors": 1390,
            **_shards("text_encoder_3", "model", [4990, 4530]),
            **_shards("text_encoder_3", "model", [4990, 4530], "fp16"),
            f"transformer/{_DIFFUSION}.safetensors": 4170,
            f"vae/{_DIFFUSION}.safetensors": 168,
            "tokenizer_3/spiece.model": 0.8,
            **_TOKENIZER,
            **_TOKENIZER_2,
        },
        247 + 1390 + 4990 + 4530 + 4170 + 168,
    ),
    "FLUX.1": (
        {
            "_class_name": "FluxPipeline",
            "scheduler": FLOW,
            "text_encoder": CLIP,
            "text_encoder_2": T5,
            "tokenizer": TOKEN,
            "tokenizer_2": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "FluxTransformer2DModel"],
            "vae": VAE,
        },
        {
            "ae.safetensors": 335,
            "flux1-dev.safetensors": 23800,
            "dev_grid.jpg": 1,
            "text_encoder/model.safetensors": 246,
            f"vae/{_DIFFUSION}.safetensors": 168,
            **_shards("text_encoder_2", "model", [4990, 4530]),
            **_shards("transformer", _DIFFUSION, [9980, 9950, 3870]),
            "tokenizer_2/spiece.model": 0.8,
            "tokenizer_2/tokenizer.json": 2.4,
            **_TOKENIZER,
        },
        246 + 168 + 4990 + 4530 + 9980 + 9950 + 3870,
    ),
    "half precision alone, in the older names of shards": (
        _XL,
        {
            "text_encoder/model.fp16.safetensors": 246,
            "text_encoder_2/model.fp16.safetensors": 1390,
            f"unet/{_DIFFUSION}-00001-of-00002.fp16.safetensors": 2600,
            f"unet/{_DIFFUSION}-00002-of-00002.fp16.safetensors": 2535,
            f"unet/{_DIFFUSION}.safetensors.index.fp16.json": 0.1,
            f"vae/{_DIFFUSION}.fp16.safetensors": 167,
            "model.ckpt": 6940,
            **_TOKENIZER,
            **_TOKENIZER_2,
        },
        246 + 1390 + 2600 + 2535 + 167,
    ),
}
#: A CLIP alone: files, and MB that are needed of weights.
CLIP_ALONE: tuple[dict[str, float], float] = (
    {
        "pytorch_model.bin": 605,
        "tf_model.h5": 606,
        "flax_model.msgpack": 605,
        "model.safetensors": 605,
        "merges.txt": 0.5,
        "vocab.json": 0.9,
        "preprocessor_config.json": 0.1,
        "tokenizer.json": 2.2,
    },
    605,
)
