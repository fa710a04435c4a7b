"""How a defect model is made: samples in, a checked model folder out.

```
samples ──> augment, planting, drawing ──> network ──> fit (folds by part) ──> export_onnx ──> models/<name>/<version>/
```

Torch is imported by `network`, `losses`, `members`, `workers`, `export_onnx` and `fit` only;
nothing here is imported when the station starts.
"""
