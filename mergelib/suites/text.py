"""What is there to merge of the embedded benchmark's language tasks? The suite "text-8": two small T5s and their adapters."""

from dataclasses import dataclass

from ..checkpoints.adapters import read_adapter
from ..networks.t5 import build_t5
from ..tasks.language import GRADED, TEXT_EIGHT, load_examples
from ..tasks.language.tokens import build_tokenizer, vocabulary
from .store import Zoo, check_file, zoo_folder
from .words import WordSuite

SUITES = {"text-8": TEXT_EIGHT}
TEXT_MODELS = {         # the siblings of Flan-T5-base and -large
    "text-small": dict(d_model=128, d_kv=32, d_ff=256, num_layers=3, num_decoder_layers=2, num_heads=4),
    "text-large": dict(d_model=192, d_kv=32, d_ff=384, num_layers=4, num_decoder_layers=2, num_heads=6),
}


@dataclass(frozen=True)
class OurT5:
    """The source of one of `TEXT_MODELS`: a T5 with random weights, and the tokenizer of our words."""

    model: str

    def network(self, seed=0):
        """The T5, the same for the same seed."""
        return build_t5(len(vocabulary()), seed, **TEXT_MODELS[self.model])

    def tokenizer(self):
        """A word is a token."""
        return build_tokenizer()


@dataclass(frozen=True)
class TextSuite(WordSuite):
    """A suite of our language tasks."""

    graded = GRADED

    @property
    def source(self):
        return OurT5(self.model)

    def examples(self, task, split, count=None):
        return tuple(texts[:count] for texts in load_examples(task, split))


def load(name, model=None, seed=0, folder=None, device=None):
    """A `TextSuite` by its name, see `load_suite`."""
    model = model or "text-small"
    zoo = Zoo(folder or zoo_folder(model), SUITES[name], seed, device)
    if not zoo.shipped:
        return TextSuite(name, model, seed, {}, dict.fromkeys(SUITES[name], {}), {}, zoo.digest)
    base = {key: tensor.float() for key, tensor in zoo.read(zoo.manifest["base"]).items()}
    experts = {task: read_adapter(check_file(zoo.folder, entry).parent, base) for task, entry in zoo.experts.items()}
    return TextSuite(name, model, seed, base, experts, {}, zoo.digest)
