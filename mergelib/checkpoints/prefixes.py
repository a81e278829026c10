"""Do two checkpoints call their tensors alike, but for what all names begin with?"""


def renamed_like(base, expert):
    """(the expert under the base's names, what was done in words), where all names of one begin with what the other's lack.

    `module.` of a wrapped model is such a beginning, and `bert.` of a model with a head, whose tensors then keep their names.
    Where some names agree, or none can be made to, the expert is handed back, and "".
    """
    if not base or any(name in base for name in expert):
        return expert, ""
    for prefix in _beginnings(base, expert):
        names = {name.removeprefix(prefix): name for name in expert}
        if set(base) <= set(names):
            return _view(expert, names), f"its names begin with {prefix}, which was left out"
    for prefix in _beginnings(expert, base):
        names = {prefix + name: name for name in expert}
        if set(names) <= set(base) or set(base) <= set(names):
            return _view(expert, names), f"its names lack {prefix}, with which the base's begin"
    return expert, ""


def _beginnings(short, long):
    """What stands before one name of a checkpoint in the names of another, longest first."""
    name = max(short, key=len, default="")
    return sorted({other.removesuffix(name) for other in long if other.endswith("." + name)}, key=len, reverse=True)


def _view(state, names):
    """A checkpoint under other names: new name -> name."""
    return state.renamed(names) if hasattr(state, "renamed") else {new: state[name] for new, name in names.items()}
