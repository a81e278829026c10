"""On whose merges is a model built that is more than one state dict? Their names, with the options that they take."""

BELOW = {name: {"below": name, "below_options": options} for name, options in {
    "task-arithmetic": {"lam": 0.3}, "weight-average": {}, "adamerging": {}, "doge-ta": {"preset": "code"},
    "tatr": {"lam": 0.3}, "tatr-zero-shot": {"lam": 0.3}}.items()}


def on(*names):
    """The presets of a method that builds on some merges: a preset for each, the first is the default."""
    return {name: BELOW[name] for name in names}
