"""What a teacher is: architecture, licence, tokenizer, digests of its tensors."""
