"""How a defect model is made: samples in, a checked model folder out.

```
samples ──> augment, planting, drawing ──> network ──> fit (folds by part) ──> export_onnx ──> models/<name>/<version>/
```

Where only good parts are at hand, `unseen` plants what nobody has shown and `good_only` goes the same way.

Torch is imported by `network`, `losses`, `members`, `workers`, `export_onnx`, `fit` and `good_only` only;
nothing here is imported when the station starts.
"""
