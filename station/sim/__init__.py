"""The simulated world: rendered parts on a belt with planted defects and known truth, and devices looking at it."""
