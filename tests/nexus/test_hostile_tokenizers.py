"""Tokenizers that mean harm: texts that grow, patterns that run on, parts that make Rust panic."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile import Change, edit, most_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from nexus import BundleError, NexusModel
from nexus.cli import main
from nexus.manifest import read_manifest, verify
from nexus.patterns import check_pattern
from nexus.tokenizer_file import check_tokenizer

FILE = "tokenizer/tokenizer.json"


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bundles["none"], tmp_path / "bundle")


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(section: str, steps: list[Any]) -> Change:
    names = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}
    return lambda file: file.update({section: {"type": "Sequence", names[section]: steps}})


def split(expression: str) -> Change:
    step = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"}
    return sequence("pre_tokenizer", [{**step, "invert": False}])


def normalizer(step: dict[str, Any]) -> Change:
    return sequence("normalizer", [step])


def model(**fields: Any) -> Change:
    return lambda file: file["model"].update(fields)


def template(count: int) -> Change:
    piece = {"SpecialToken": {"id": "<eos>", "type_id": 0}}
    token = {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, *[piece] * count]
    return lambda file: file["post_processor"].update(single=single, special_tokens=token)


def charsmap(content: bytes) -> dict[str, Any]:
    text = base64.b64encode(content).decode()
    return {"type": "Precompiled", "precompiled_charsmap": text}


DOUBLED = replace({"String": "a"}, "aa")
HOSTILE: list[Change] = [
    # A text of 10 letters that becomes one of 10 GB.
    sequence("normalizer", [DOUBLED] * 30),
    sequence("normalizer", [{"type": "Sequence", "normalizers": [DOUBLED] * 6}] * 5),
    sequence("decoder", [DOUBLED] * 30),
    sequence("normalizer", [{"type": "NFKD"}] * 30),
    normalizer(replace({"String": "a"}, "a" * 1_000_000)),
    normalizer(replace({"Regex": "a"}, "a" * 1000)),
    normalizer({"type": "Prepend", "prepend": "a" * 1_000_000}),
    normalizer(charsmap(bytes(4) + b"a" * 1_000_000 + b"\0")),
    template(100_000),
    sequence("pre_tokenizer", [{"type": "Digits", "individual_digits": True}] * 1000),
    # What makes the library panic.
    normalizer(replace({"String": ""}, "x")),
    normalizer(charsmap(b"\xff\xff\xff\xff")),
    normalizer({"type": "Precompiled", "precompiled_charsmap": "no base64!"}),
    sequence("pre_tokenizer", [{"type": "FixedLength", "length": 0}]),
    model(continuing_subword_prefix="##########"),
    # Patterns with more ways to match than there are seconds.
    split("(a+)+$"),
    split(r"(?:a|a)*b"),
    split(r"\s*\s*\s*x"),
    split(r"(x+x+)+y"),
    split(r"(a)\1+b"),
    split(r"a{1000}{1000}"),
    split("(" * 5000),
    split("a" * 100_000),
    split("["),
    normalizer(replace({"Regex": "(a*)*b"}, "")),
    sequence("decoder", [replace({"Regex": "(a*)*b"}, "")]),
    # Parts that are not known, or told by their fields alone.
    normalizer({"type": "Python", "module": "os"}),
    normalizer({"pattern": {"String": "a"}, "content": "aa"}),
    sequence("pre_tokenizer", [{"type": "Custom"}]),
    sequence("decoder", [{"type": "Custom"}]),
    sequence("decoder", ["ByteLevel"]),
    lambda file: file.update(normalizer=[]),
    lambda file: file.update(post_processor={"type": "Unknown"}),
    model(type="Neural"),
    model(dropout=0.5),
    model(unk_token="u" * 10_000),
    model(vocab={"a" * 100_000: 0}),
    model(vocab=7),
    lambda file: file.update(model={"type": "WordPiece", "vocab": {}, "unk_token": "a",
                                    "continuing_subword_prefix": "#",
                                    "max_input_chars_per_word": 10**9}),
    lambda file: file.update(added_tokens=[{"id": 0, "content": "a" * 100_000}]),
    lambda file: file.update(added_tokens=[{"id": n, "content": "a" * 900} for n in range(999)]),
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_it_is_refused_by_name(bundle: Path, change: Change) -> None:
    edit(bundle, FILE, change)
    for check in (True, False):
        with most_memory(megabytes=150), pytest.raises(BundleError) as caught:
            NexusModel.load(bundle, check=check)
        assert caught.value.path == FILE
        assert len(str(caught.value)) < 500


REFUSED_BY_VERIFY = [change for number, change in enumerate(HOSTILE) if number != 14]


@pytest.mark.parametrize("change", REFUSED_BY_VERIFY, ids=range(len(REFUSED_BY_VERIFY)))
def test_it_does_not_verify(bundles: dict[str, Path], change: Change) -> None:
    file = json.loads((bundles["none"] / FILE).read_bytes())
    change(file)
    with pytest.raises(ValueError, match=r"."):
        check_tokenizer(json.dumps(file).encode())


def test_a_name_that_stands_twice_is_refused(bundle: Path) -> None:
    """What is checked here must be what the library reads."""
    text = (bundle / FILE).read_text(encoding="utf-8")
    twice = text.replace('"normalizer": null', '"normalizer": null, "normalizer": null')
    with pytest.raises(ValueError, match="stands twice"):
        check_tokenizer(twice.encode())


def test_a_tokenizer_cuts_no_prompt(bundle: Path) -> None:
    """A truncation in the file holds for nothing, even one that the library would refuse."""
    whole = NexusModel.load(bundle).generate("add seven", capability="sums")
    cut = {"direction": "Right", "max_length": 1, "stride": 5, "strategy": "LongestFirst"}
    edit(bundle, FILE, lambda file: file.update(truncation=cut))
    assert NexusModel.load(bundle).generate("add seven", capability="sums") == whole


OUT_OF_BOUNDS = charsmap(b"\x04\0\0\0\xff\xff\xff\x7f" + b"a\0")


def test_a_panic_is_no_traceback(bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A map of letters whose places lie outside it, which shows when the first text is read."""
    edit(bundle, FILE, normalizer(OUT_OF_BOUNDS))
    verify(bundle, read_manifest(bundle))
    opened = NexusModel.load(bundle)
    for call in (opened.route, lambda prompt: opened.generate(prompt, capability="sums")):
        with pytest.raises(BundleError, match="PanicException") as caught:
            call("add seven")
        assert caught.value.path == FILE
    assert main(["run", str(bundle), "add seven"]) == 1
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.update(model={"type": "WordLevel", "vocab": {}, "unk_token": "a"}),
        lambda file: file.update(
            model={"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]], "byte_fallback": False}
        ),
        lambda file: file["model"].update(
            vocab={word: 1000 + place for word, place in file["model"]["vocab"].items()}
        ),
    ],
    ids=["no token for it", "no unknown token", "ids beyond the embedding"],
)
def test_a_tokenizer_that_fails_is_blamed(bundle: Path, change: Change) -> None:
    edit(bundle, FILE, change)
    with pytest.raises(BundleError) as caught:
        NexusModel.load(bundle).generate("add seven", capability="sums")
    assert caught.value.path == FILE


# Of tokenizers in use: GPT-2, Llama 3, Qwen 2, GPT-4o, DeepSeek, Phi 4, BLOOM, CLIP, and others.
IN_USE = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    " ?[^(\\s|[.,!?…。，、।۔،])]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{M}&&[^\p{Han}]]+",
    r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
    "[一-龥぀-ゟ゠-ヿ]+",
    r" {2,}",
    r"\s+",
    r"[0-9][0-9][0-9]",
]
RUN_ON = [
    r"\s*(?:\s*x)",
    r"\s*(?:x|(?:\s+y))",
    r"\s*(?!\s+)y",
    r"(?:(?:\s*x)|y)\s*z",
    r"\s*(?:\s*x)?y",
    r"(?=\s*x)\s*(?!\s*y)z",
    r"\p{N}{1,3}+x",
    r"x*+y*y*z",
    "a?" * 30 + "a" * 30,
    "(?:a|a)" * 12 + "b",
    "a{1,50}" * 3 + "b",
    r"(?:a{1,100}){1,100}",
    r"(?>a+)b",
    r"(?<n>a)\g<n>",
    r"(?~a)",
    r"\X*",
    r"\Ka",
    "a**",
    "*",
    "[]a]",
    "a)",
    "\\",
    "(?i)a",
    r"a{3,1}",
]


@pytest.mark.parametrize("expression", IN_USE)
def test_the_patterns_in_use_are_read(expression: str) -> None:
    check_pattern(expression)
    pre_tokenizers.Split(Regex(expression), "isolated").pre_tokenize_str("It's 1,000 words\n\n x")


@pytest.mark.parametrize("expression", RUN_ON)
def test_patterns_that_could_run_on_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="the pattern"):
        check_pattern(expression)


PIECES = st.recursive(
    st.sampled_from(["a", "b", " ", r"\s", r"\p{L}", "[ab]", "[^a]", ".", "$", r"\b"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "*+", "+?"])).map("".join),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        inner.map(lambda part: f"(?={part})"),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(PIECES)
def test_a_pattern_that_is_read_is_one_for_the_library_too_and_ends(expression: str) -> None:
    """Oniguruma gives up a match after ten million steps: within a text of this length, never."""
    try:
        check_pattern(expression)
    except ValueError:
        return
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(expression), "isolated")
    for text in ("a" * 300 + "c", "ab" * 150 + "c", " " * 300 + "c"):
        tokenizer.encode(text)
