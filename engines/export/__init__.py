"""Exports checkpoints as ONNX graphs with float16 or int8 weights."""
