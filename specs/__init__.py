"""What `nexus.yaml` may say: models, loading, messages, JSON Schema, edits that keep comments."""

from specs.loading import load, load_text
from specs.model import Spec
from specs.problems import SpecError, SpecProblem

__all__ = ["Spec", "SpecError", "SpecProblem", "load", "load_text"]
