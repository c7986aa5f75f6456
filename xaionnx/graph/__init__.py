"""ONNX graphs: built, made canonical, cut, joined and written out."""
