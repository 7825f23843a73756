"""One LoRA per capability, trained against the packed backbone."""
