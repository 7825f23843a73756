"""A backbone that starts from a small open model instead of from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from modalities.json_files import write_json
from targets.adapter.low_rank import embedding_name, fresh_low_rank, linear_names
from targets.backbone.work import initial_backbone
from targets.teacher.work import described
from targets.tokenizer import work as tokenizer_work


@pytest.fixture
def open_model(tmp_path: Path, student_tokenizer: Path) -> Path:
    """A Qwen-like model with its head tied to its embedding, as small open models have it."""
    tokenizer = AutoTokenizer.from_pretrained(student_tokenizer)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_its_tokenizer_is_the_model_s(make_job, open_model: Path) -> None:
    job = replace(make_job("tokenizer", {}), sources={"init": open_model})
    tokenizer_work.build(job)
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (open_model, job.out))
    assert after("a call for seven apples").input_ids == before("a call for seven apples").input_ids


def test_its_head_can_be_adapted_alone(make_job, open_model: Path) -> None:
    job = replace(make_job("backbone", {}), sources={"init": open_model})
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = Qwen2ForCausalLM.from_pretrained(open_model)(ids).logits
        model = initial_backbone(job, AutoTokenizer.from_pretrained(open_model))
        assert torch.equal(model(ids).logits, expected)
    assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    names = [*linear_names(model), embedding_name(model)]
    assert "lm_head.weight" in names
    assert set(fresh_low_rank(model, dict.fromkeys(names, 4), seed=1).a) == set(names)


def test_an_untied_backbone_comes_back_from_disk_untied(
    make_job, open_model: Path, tmp_path: Path
) -> None:
    job = replace(make_job("backbone", {}), sources={"init": open_model})
    model = initial_backbone(job, AutoTokenizer.from_pretrained(open_model))
    with torch.no_grad():
        model.get_output_embeddings().weight.add_(1.0)
    model.save_pretrained(tmp_path / "saved")
    again = Qwen2ForCausalLM.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(again.lm_head.weight, again.model.embed_tokens.weight)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_a_teacher_under_another_name_is_not_started_from(
    make_job, open_model: Path, tmp_path: Path, stored: torch.dtype
) -> None:
    """By digest: the folder is not the teacher's, and its weights came in another width."""
    model = Qwen2ForCausalLM.from_pretrained(open_model, dtype=torch.bfloat16)
    model.to(stored).save_pretrained(open_model)
    taught = {name: described(tensor) for name, tensor in model.bfloat16().state_dict().items()}
    write_json(tmp_path / "tensors.json", taught)
    inputs = {"tensors/scholar": tmp_path / "tensors.json"}
    job = replace(make_job("backbone", {}, inputs=inputs), sources={"init": open_model})
    tokenizer = AutoTokenizer.from_pretrained(open_model)
    with pytest.raises(ValueError, match=r"init is the teacher scholar.*number for number"):
        initial_backbone(job, tokenizer)
    constant = {name: about for name, about in taught.items() if about["constant"]}
    write_json(tmp_path / "tensors.json", constant)
    assert constant and initial_backbone(job, tokenizer)
