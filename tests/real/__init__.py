"""Models that packages of others ship, tried by ten methods and checked in plain onnxruntime."""
