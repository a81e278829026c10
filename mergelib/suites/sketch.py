"""What is there to merge of the embedded benchmark's pictures? The suites "sketch-8" and "sketch-20", from the zoo."""

from dataclasses import dataclass

import pandas as pd

from ..networks.clip import TEXT, TOWERS, build_clip, normalise_pixels
from ..tasks import EIGHT, TASKS, load_pictures
from ..tasks.corruptions import load_corrupted
from .pictures import PictureSuite
from .store import Zoo, dequantise, read_file, read_manifest, unpack_clip, zoo_folder
from .suite import JOINT

SUITES = {"sketch-8": EIGHT, "sketch-20": TASKS}


@dataclass(frozen=True)
class SketchSuite(PictureSuite):
    """A suite of pictures that are drawn here."""

    def pictures(self, task, split, count=None):
        if split == "test" and self.condition != "clean":
            return load_corrupted(task, split, self.condition, count)
        return load_pictures(task, split, count)

    def images(self, pixels):
        return normalise_pixels(pixels, self.device)

    def has_condition(self, condition):
        return True

    @property
    def regime(self):
        """The table that was noted when the tower was trained, see `experiments.regime_table`; None for another model."""
        return pd.DataFrame(read_manifest(zoo_folder(self.model))["regime"]).T if self.model in TOWERS else None


def load(name, model="main", seed=0, folder=None, device=None):
    """A `SketchSuite` by its name, see `load_suite`."""
    zoo = Zoo(folder or zoo_folder(model or "main"), SUITES[name], seed, device)
    made = zoo.manifest["experts"] if name == "sketch-8" else {}
    joint = {kind: made[f"{kind}-s{seed}"] for kind in JOINT if f"{kind}-s{seed}" in made}
    if not zoo.shipped:
        return SketchSuite(name, model or "main", seed, {}, dict.fromkeys(SUITES[name], {}), {}, zoo.digest,
                           dict.fromkeys(joint, {}))
    visual = {key.removeprefix("visual."): tensor.float() for key, tensor in zoo.read(zoo.manifest["base"]).items()
              if key.startswith("visual.")}
    experts = {task: dequantise(visual, zoo.read(entry)) for task, entry in zoo.experts.items()}
    joint = {kind: dequantise(visual, zoo.read(entry)) if entry.get("shipped", True) else {} for kind, entry in joint.items()}
    return SketchSuite(name, model or "main", seed, visual, experts, zoo.read(zoo.manifest["heads"]), zoo.digest, joint)


def load_clip(model="main", folder=None):
    """The base as a whole open_clip `CLIP`, both towers, for example to build heads of other classes (`build_head`).

    Arguments and errors as for `load_suite`. Words that occur in no task's prompts or captions have no embedding (zero).
    """
    folder = zoo_folder(model) if folder is None else folder
    clip = build_clip(model)
    clip.load_state_dict(unpack_clip(read_file(folder, read_manifest(folder)["base"]), TEXT["vocab_size"]))
    return clip.eval()
