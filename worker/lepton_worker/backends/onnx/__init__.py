"""Encoders from ONNX files, by onnxruntime; nothing here imports torch."""
