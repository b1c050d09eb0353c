"""Trained models for other programs: CTranslate2, ONNX and safetensors. Each module needs the package of its name."""
