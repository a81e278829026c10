"""What does a text-to-text network answer? T5s from a configuration, or from a Hugging Face folder.

A source is where a network and its tokenizer come from: an object that can be hashed, whose `network()` gives a T5 and whose
`tokenizer()` what transformers calls one. transformers is imported where it is needed.
"""

from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

PAD, END = 0, 1         # T5's ids; its decoder starts from PAD
BATCH = 200             # questions per forward pass


def build_t5(vocabulary, seed=0, **sizes):
    """A freshly initialised T5 of some sizes (see transformers' T5Config), the same for the same seed; `vocabulary`: words.

    No dropout, tied embeddings.
    """
    from transformers import T5Config, T5ForConditionalGeneration
    config = T5Config(vocab_size=vocabulary, feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=PAD,
                      **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return T5ForConditionalGeneration(config)


@dataclass(frozen=True)
class T5Folder:
    """The source that a Hugging Face folder is."""

    path: str

    def network(self):
        """The T5 with the folder's weights."""
        from transformers import AutoModelForSeq2SeqLM
        return AutoModelForSeq2SeqLM.from_pretrained(self.path, use_safetensors=True)

    def tokenizer(self):
        """The folder's tokenizer."""
        from transformers import AutoTokenizer
        return AutoTokenizer.from_pretrained(self.path)


@lru_cache(maxsize=2)
def text_network(source, device):
    """One network per process to compute with; its own weights are those of the folder, or none that were trained."""
    network = source.network()
    network.config.use_cache = False
    return network.float().eval().requires_grad_(False).to(device)


@cache
def tokenizer_of(source):
    """The tokenizer of a source."""
    return source.tokenizer()


def encode(source, texts):
    """Token ids (int64 N x longest) of some texts, each ended by `END` and padded by `PAD`."""
    return np.asarray(tokenizer_of(source)(list(texts), padding=True)["input_ids"])


def decode(source, tokens):
    """Token ids (N x length) as texts."""
    return tokenizer_of(source).batch_decode(tokens, skip_special_tokens=True)


# --- computing with a state dict --------------------------------------------------------------------------------------

def with_weights(source, state):
    """A function (**inputs) -> transformers' output of the network with a state dict's tensors, where they lie."""
    device = next(iter(state.values())).device
    return partial(_call, text_network(source, device), state)


def _call(network, state, **inputs):
    return functional_call(network, state, kwargs=inputs)


def questions(ids, device="cpu"):
    """The inputs for token ids (N x length) whose shared padding is cut off."""
    ids = torch.as_tensor(ids, device=device)
    ids = ids[:, : int((ids != PAD).sum(dim=1).max())]
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def encoded(network, inputs):
    """The inputs with what the encoder makes of the questions in their place, for several answers to them."""
    mask = inputs["attention_mask"]
    found = network(**inputs, decoder_input_ids=mask.new_full((len(mask), 1), PAD))
    return {"attention_mask": mask, "encoder_outputs": (found.encoder_last_hidden_state,)}


@torch.no_grad()
def generate(network, inputs, longest):
    """Greedy answers, N x at most `longest` tokens: each ends with `END` (unless it is cut) and is padded by `PAD`.

    `network`: what `with_weights` gives; `inputs`: what `encoded` gives, or `questions` (then the encoder runs for each token).
    """
    mask = inputs["attention_mask"]
    tokens, over = mask.new_full((len(mask), 1), PAD), mask.new_zeros(len(mask), dtype=torch.bool)
    for _ in range(longest):
        best = network(**inputs, decoder_input_ids=tokens).logits[:, -1].argmax(dim=1).masked_fill(over, PAD)
        tokens, over = torch.cat([tokens, best[:, None]], dim=1), over | (best == END)
        if over.all():
            break
    return tokens[:, 1:]


def answer_logits(network, inputs, tokens):
    """Logits (N x length x vocabulary) of each token of some answers (N x length), given those before it."""
    start = tokens.new_full((len(tokens), 1), PAD)
    return network(**inputs, decoder_input_ids=torch.cat([start, tokens[:, :-1]], dim=1)).logits


def answer_loss(logits, tokens):
    """Cross-entropy (nats) of answers (N x length), the mean over their tokens, `END` included."""
    return cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=PAD)


def token_entropy(logits, tokens):
    """Entropy (nats) of the predictions behind each token of an answer, averaged over its tokens: N numbers."""
    log_p, end = logits.log_softmax(dim=2), (tokens == END).long()
    said = (end.cumsum(dim=1) - end == 0).float()          # up to the first end; an untrained model may well say PAD
    return (-(log_p.exp() * log_p).sum(dim=2) * said).sum(dim=1) / said.sum(dim=1)


def answer_entropy(answer, longest, source, fixed, drawn, weights):
    """Mean entropy (nats) of a model's answers, summed over tasks (`drawn`: task -> token ids of questions).

    `weights` replace those of `fixed`, a whole state dict. `answer` "generated": of every token of each greedy answer,
    averaged over the questions; "first", as FusionBench does with T5: of one distribution, the first token's after a decoder
    input of `END`, whose logits are averaged over the questions. The questions of all tasks go through the network together.
    """
    network = with_weights(source, {**fixed, **weights})
    asked = pad_sequence([torch.as_tensor(row) for ids in drawn.values() for row in ids], batch_first=True, padding_value=PAD)
    inputs, sizes = questions(asked, next(iter(fixed.values())).device), [len(ids) for ids in drawn.values()]
    if answer == "generated":
        inputs = encoded(network, inputs)
        tokens = generate(network, inputs, longest)
        each = token_entropy(answer_logits(network, inputs, tokens), tokens)
        return sum(part.mean() for part in each.split(sizes))
    end = inputs["input_ids"].new_full((len(asked), 1), END)
    logits = network(**inputs, decoder_input_ids=end).logits[:, 0]
    log_p = torch.stack([part.mean(dim=0) for part in logits.split(sizes)]).log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum()
