"""How does a new product come to the station within the hour, from footage without labels?

```
footage ──> shown (which pictures are parts) ──┐
video ──> belt (trigger proposed and tried) ───┴──> written (the recipe's words) + training.good_only (its model)
                                                        └── everything goes before a person first
```
"""
