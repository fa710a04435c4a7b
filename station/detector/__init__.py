"""From a picture to candidate defects: one way in (tensors), one way out (heads), the model between (onnx)."""
