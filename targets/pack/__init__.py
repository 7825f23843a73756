"""Components as they ship: quantised, safetensors."""
