"""Models of every family, tiny and with random weights, are taken apart and profiled for real."""

from __future__ import annotations

import io
import json
import shutil
import wave
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, CLIPImageProcessorPil, LlavaProcessor, WhisperFeatureExtractor
from transformers import PreTrainedTokenizerFast as FastTokenizer

from modalities.text.answers import Description
from modalities.text.asking import asker_of
from modalities.text.metrics.token_f1 import METRIC as TOKEN_F1
from nexusbuild.cli import main
from nexusbuild.plugins import Job
from opened_models.loading import open_teacher
from opened_models.losses import sample_loss
from opened_models.structure import find_structure
from opened_models.surgery import remove_blocks
from targets.profile.ablation import PrefixedBatch
from targets.profile.figure import Theme, head_grid, profile_figure
from targets.profile.work import build

WORDS = 40
SPECIAL = ("<pad>", "<unk>", "<eos>", "<cls>", "<sep>", "<image>", "<start>")
VOCABULARY = len(SPECIAL) + WORDS
PLAIN = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 2}
DECODER = {**PLAIN, **TEXT, "num_key_value_heads": 2, "max_position_embeddings": 64}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
SEEN = {**PLAIN, "image_size": 16, "patch_size": 4}
PAIR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "decoder_start_token_id": 6,
    "forced_eos_token_id": None,
}


@dataclass(frozen=True)
class Family:
    """A model's class and configuration, and what is to be found in it.

    towers: width and blocks of each. blocks: heads, groups and neurons of the first and the last.
    rows: what the model reads: text, image, sound, or an image next to text.
    own_words: whether it can be given a tokenizer of words; where not, it gets one of bytes.
    """

    architecture: str
    kind: str
    config: dict[str, Any]
    towers: list[tuple[int, int]]
    blocks: tuple[tuple[int, int, int], tuple[int, int, int]]
    rows: str = "text"
    own_words: bool = True


GROUPED = ((4, 2, 48), (4, 2, 48))
ALONE = ((4, 4, 48), (4, 4, 48))
ONE = [(32, 2)]
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48}
OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32}
PLAIN_DECODERS = {
    "llama": Family("LlamaForCausalLM", "llama", DECODER, ONE, GROUPED),
    # transformers gives every Qwen2 its own way of cutting text, whatever was saved.
    "qwen2": Family(
        "Qwen2ForCausalLM",
        "qwen2",
        {**DECODER, "vocab_size": 320, "eos_token_id": 1},
        ONE,
        GROUPED,
        own_words=False,
    ),
    "qwen3": Family("Qwen3ForCausalLM", "qwen3", {**DECODER, "head_dim": 16}, ONE, GROUPED),
    "mistral": Family("MistralForCausalLM", "mistral", DECODER, ONE, GROUPED),
    "gemma": Family("GemmaForCausalLM", "gemma", {**DECODER, "head_dim": 8}, ONE, GROUPED),
    "phi": Family("PhiForCausalLM", "phi", DECODER, ONE, GROUPED),
    "gpt2": Family("GPT2LMHeadModel", "gpt2", {**TEXT, **GPT2}, ONE, ALONE),
    "gpt_neox": Family("GPTNeoXForCausalLM", "gpt_neox", {**PLAIN, **TEXT}, ONE, ALONE),
    "opt": Family("OPTForCausalLM", "opt", {**PLAIN, **TEXT, **OPT}, ONE, ALONE),
}
OTHERS = {
    "mixtral": Family(
        "MixtralForCausalLM",
        "mixtral",
        {**DECODER, "num_local_experts": 4},
        [(32, 2)],
        ((4, 2, 4), (4, 2, 4)),
    ),
    "qwen3_moe": Family(
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        {**DECODER, **EXPERTS, "num_experts": 4, "head_dim": 8, "mlp_only_layers": [0]},
        [(32, 2)],
        ((4, 2, 48), (4, 2, 4)),
    ),
    "gemma2": Family(
        "Gemma2ForCausalLM",
        "gemma2",
        {**DECODER, "head_dim": 8, "sliding_window": 8},
        [(32, 2)],
        ((4, 2, 48), (4, 2, 48)),
    ),
    "gemma3": Family(
        "Gemma3ForCausalLM",
        "gemma3_text",
        {**DECODER, "head_dim": 8},
        [(32, 2)],
        ((4, 2, 48), (4, 2, 48)),
    ),
    "t5": Family(
        "T5ForConditionalGeneration",
        "t5",
        {
            **TEXT,
            "d_model": 32,
            "d_ff": 48,
            "d_kv": 8,
            "num_layers": 3,
            "num_decoder_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": 0,
        },
        [(32, 3), (32, 2)],
        ((4, 4, 48), (8, 8, 48)),
    ),
    "bart": Family(
        "BartForConditionalGeneration",
        "bart",
        {**TEXT, **PAIR, "max_position_embeddings": 64},
        [(32, 2), (32, 2)],
        ((4, 4, 48), (4, 4, 40)),
    ),
    "bert": Family("BertModel", "bert", {**PLAIN, **TEXT}, [(32, 2)], ((4, 4, 48), (4, 4, 48))),
    "roberta": Family(
        "RobertaForMaskedLM", "roberta", {**PLAIN, **TEXT}, [(32, 2)], ((4, 4, 48), (4, 4, 48))
    ),
    "clip_vision": Family(
        "CLIPVisionModel",
        "clip_vision_model",
        SEEN,
        [(32, 2)],
        ((4, 4, 48), (4, 4, 48)),
        rows="image",
    ),
    "siglip_vision": Family(
        "SiglipVisionModel",
        "siglip_vision_model",
        SEEN,
        [(32, 2)],
        ((4, 4, 48), (4, 4, 48)),
        rows="image",
    ),
    "clip": Family(
        "CLIPModel",
        "clip",
        {
            "vision_config": {**SEEN, "hidden_size": 24},
            "text_config": {**PLAIN, **TEXT, "eos_token_id": 4},
            "projection_dim": 16,
        },
        [(24, 2), (32, 2)],
        ((4, 4, 48), (4, 4, 48)),
        rows="image and text",
    ),
    "llava": Family(
        "LlavaForConditionalGeneration",
        "llava",
        {
            "vision_config": {
                **SEEN,
                "hidden_size": 24,
                "num_hidden_layers": 3,
                "model_type": "clip_vision_model",
            },
            "text_config": {**DECODER, "model_type": "llama"},
            "image_token_id": 5,
            "eos_token_id": 2,
            "vision_feature_select_strategy": "default",
            "vision_feature_layer": -2,
        },
        [(24, 3), (32, 2)],
        ((4, 4, 48), (4, 2, 48)),
        rows="image and text",
    ),
    "whisper": Family(
        "WhisperForConditionalGeneration",
        "whisper",
        {
            **TEXT,
            **PAIR,
            "max_source_positions": 50,
            "max_target_positions": 64,
            "num_mel_bins": 8,
            "begin_suppress_tokens": None,
        },
        [(32, 2), (32, 2)],
        ((4, 4, 48), (4, 4, 40)),
        rows="sound",
    ),
}

FAMILIES = {**PLAIN_DECODERS, **OTHERS}


def tokenizer(ends: bool) -> FastTokenizer:
    """Words; ends: a text begins and ends with special tokens, as encoders' texts do."""
    vocabulary = {token: index for index, token in enumerate(SPECIAL)}
    vocabulary |= {f"w{index}": index + len(SPECIAL) for index in range(WORDS)}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ends:
        plain.post_processor = processors.TemplateProcessing(
            single="<cls> $A <sep>", special_tokens=[("<cls>", 3), ("<sep>", 4)]
        )
    return FastTokenizer(
        tokenizer_object=plain,
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<cls>",
        sep_token="<sep>",
        extra_special_tokens=["<image>", "<start>"],
        model_max_length=64,
    )


def save_model(family: Family, folder: Path) -> None:
    """A teacher's folder: weights far enough from nothing to attend, tokenizer, processor."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.kind, **family.config)
    model = getattr(transformers, family.architecture)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    reads = not model.can_generate()
    words = tokenizer(ends=reads)
    images = CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    if family.rows == "image and text" and not reads:
        LlavaProcessor(
            images,
            words,
            patch_size=4,
            vision_feature_select_strategy="default",
            image_token="<image>",
            num_additional_image_tokens=1,
        ).save_pretrained(folder)
    elif family.rows.startswith("image"):
        images.save_pretrained(folder)
    elif family.rows == "sound":
        WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(folder)
    if family.rows != "image":
        words.save_pretrained(folder)


READING = {"text": "text", "image": "image", "image and text": "image", "sound": "audio"}


def write_image(index: int, file: Path) -> None:
    """A PNG of stripes and noise."""
    drawn = np.random.default_rng(index).integers(0, 80, (20, 24, 3), dtype=np.uint8)
    drawn[:, index % 24 :: 5] += np.uint8(100 + index)
    Image.fromarray(drawn).save(file, "PNG")


def write_sound(index: int, file: Path) -> None:
    """A second of a tone at 8 kHz."""
    time = np.arange(8000) / 8000
    tone = (8000 * np.sin(2 * np.pi * (200 + 50 * index) * time)).astype("<i2")
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(tone.tobytes())


def make_rows(kind: str, count: int, folder: Path) -> list[dict[str, Any]]:
    """Rows of one kind; what they read besides text lies in files below `folder`."""
    folder.mkdir(exist_ok=True)
    rows = []
    for index in range(count):
        words = [f"w{(5 * index + 7 * j * (index % 6 + 1)) % WORDS}" for j in range(4 + index % 5)]
        row: dict[str, Any] = {"id": f"{index:016x}", "prompt": "", "answer": ""}
        if kind in ("text", "image and text"):
            row["prompt"] = " ".join(words)
        if kind in ("text", "sound"):
            row["answer"] = " ".join(reversed(words))
        if kind.startswith("image"):
            row["parts"] = {"image": str(folder / f"{index}.png")}
            write_image(index, folder / f"{index}.png")
        if kind == "sound":
            row["parts"] = {"audio": str(folder / f"{index}.wav")}
            write_sound(index, folder / f"{index}.wav")
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def profiled(
    tmp_path_factory: pytest.TempPathFactory,
    make_job: Callable[..., Job],
    student_tokenizer: Path,
) -> Callable[[str], Path]:
    """A function: the finished profile of a family's tiny model."""
    folder = tmp_path_factory.mktemp("families")
    (folder / "dataset.json").write_text(
        json.dumps({"template": "{prompt} ", "stop": {"strings": [], "max_new_tokens": 5}})
    )

    @cache
    def profile(name: str) -> Path:
        family = FAMILIES[name]
        rows = make_rows(family.rows, 16, folder / f"{name}-media")
        pilot = folder / f"{name}.jsonl"
        pilot.write_text("".join(json.dumps(row) + "\n" for row in rows))
        save_model(family, folder / name)
        if not family.own_words:
            for file in student_tokenizer.iterdir():
                shutil.copy(file, folder / name)
        settings = {"load": "fp32", "metric": "token_f1", "samples": 12, "pilot_samples": 4}
        job = make_job(
            f"profile:{name}/echo",
            {
                **settings,
                "explained_variance": 0.9,
                "raised_to": [],
                "max_metric_fall": 0.01,
                "key_layer_drop": 0.1,
                "seed": 1,
            },
            inputs={
                "model": folder / name,
                "pilot": pilot,
                "description": folder / "dataset.json",
            },
            code={"reading": f"modalities.{READING[family.rows]}.reading"},
        )
        build(job)
        return job.out

    return profile


@pytest.mark.parametrize("name", FAMILIES)
def test_every_stage_of_a_profile_runs_on(name: str, profiled: Callable[[str], Path]) -> None:
    family, out = FAMILIES[name], profiled(name)
    summary = json.loads((out / "profile.json").read_text())
    towers = [(tower["hidden_size"], tower["layers"]) for tower in summary["towers"]]
    assert towers == family.towers
    heads = json.loads((out / "heads_importance.json").read_text())
    neurons = np.load(out / "neurons.npz")
    # Whatever is removed is missed.
    rises = summary["ablation"]["nll_rise"]
    unused = [2] if name == "llava" else []  # it takes what leaves its eye's last block but one
    assert [layer for layer, rise in enumerate(rises) if rise == 0] == unused
    for index, expected in zip((0, summary["num_layers"] - 1), family.blocks, strict=True):
        found = (
            len(heads["heads"][str(index)]),
            len(heads["groups"][str(index)]),
            neurons[f"layer_{index}_magnitude"].size,
        )
        assert found == expected
        magnitudes = [neurons[f"layer_{index}_{side}magnitude"] for side in ("", "background_")]
        assert max(side.max() for side in magnitudes) > 0 or index in unused
    # Heads are told apart.
    every = [value for layer in heads["heads"].values() for value in layer]
    assert all(value >= 0 for value in every)
    assert len(set(every)) > len(every) // 2
    assert summary["key_layers"]
    for layer in summary["key_layers"]:
        basis = np.load(out / f"layer_{layer}_basis.npz")
        of_layer = summary["layers"][str(layer)]
        assert basis["basis"].shape == (of_layer["d"], of_layer["k"])
        assert of_layer["explained_variance"] >= 0.9
        coefficients = np.load(out / f"layer_{layer}_coeffs.npz")
        assert coefficients["sample_offsets"][-1] == of_layer["tokens"]
    answers = (out / "verify_outputs.jsonl").read_text().splitlines()
    answering = "For" in family.architecture and "Masked" not in family.architecture
    answering |= "LMHead" in family.architecture
    assert bool(answers) == answering
    unit = "nats per answer token" if answering else "1 - cosine of representations"
    assert heads["unit"] == unit
    assert heads["method"] == ("gate gradient" if answering else "ablation")


@pytest.mark.parametrize("name", OTHERS)
def test_going_on_above_a_removed_block_is_running_without_it(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    save_model(family, tmp_path)
    job = Job(
        target=f"profile:{name}/echo",
        settings={"load": "fp32"},
        inputs={"model": tmp_path},
        sources={},
        out=tmp_path,
        scratch=tmp_path,
        seed=0,
        threads=1,
        progress=lambda done, total, **figures: None,
    )
    teacher = open_teacher(job)
    structure = find_structure(teacher.model, media="image" in family.rows)
    rows = make_rows(family.rows, 5, tmp_path / "media")
    read_as = import_module(f"modalities.{READING[family.rows]}.reading").read_as
    described = Description("{prompt} ", (), 4)
    asker = asker_of(teacher, structure, described, TOKEN_F1, rows, read_as=read_as)
    with torch.inference_mode():
        (batch,) = asker.own_batches(asker.ask(rows), 4096)
        prefixed = PrefixedBatch(structure, batch)
        for indices in ((0,), (1,), (0, 2), (1, len(structure.blocks) - 1)):
            if max(indices) < len(structure.blocks):
                with remove_blocks(indices, structure):
                    expected = sample_loss(structure, batch)
                assert torch.allclose(prefixed.without(indices), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_profile_of_two_towers_is_drawn_the_same_twice(
    theme: Theme, profiled: Callable[[str], Path]
) -> None:
    drawn = profile_figure(profiled("bart"), theme)
    assert drawn == profile_figure(profiled("bart"), theme)
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.size == (1560, 528)
        assert not image.info.keys() & {"Software", "Creation Time", "date"}
        paper = np.asarray(image.convert("L"))[0, 0]
    assert (paper < 40) == (theme == "dark")


def test_blocks_with_fewer_heads_leave_gaps_in_the_grid() -> None:
    grid = head_grid({"0": [1.0], "1": [2.0, 3.0]})
    assert grid[1].tolist() == [2.0, 3.0]
    assert grid[0, 0] == 1.0
    assert np.isnan(grid[0, 1])


def test_the_command_draws_what_is_built(
    profiled: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nexus.yaml").write_text("nexus: 1\n")
    (tmp_path / "build" / "profile" / "pair").mkdir(parents=True)
    (tmp_path / "build" / "profile" / "pair" / "echo").symlink_to(profiled("bart"))
    given = ["-f", str(tmp_path), "--to", str(tmp_path / "drawn"), "--dark"]
    assert main(["figure", *given]) == 0
    assert "1 picture drawn" in capsys.readouterr().out
    file = tmp_path / "drawn" / "profile-pair-echo-dark.png"
    assert file.read_bytes() == profile_figure(profiled("bart"), "dark")
    assert main(["figure", *given, "pair/song"]) == 2
    assert "no profile pair/song is built; there are: pair/echo" in capsys.readouterr().err
