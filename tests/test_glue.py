"""Are the published formats read? A tiny T5 with PEFT adapters, GLUE's columns and a list of prompts, written as they are."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import mergelib as ml
from mergelib import CheckpointError, load_suite
from mergelib.networks import t5
from mergelib.suites.glue import TITLES, TUNING, read_examples, read_prompts, split_of

PAIR = {"sentence1": "the cat sat", "sentence2": "a cat sat"}
COLUMNS = {"cola": {"sentence": "the cat sat"}, "sst2": {"sentence": "a fine film"}, "mrpc": PAIR, "rte": PAIR, "stsb": PAIR,
           "mnli": {"premise": "the cat sat", "hypothesis": "a cat sat"}, "qqp": {"question1": "who sat", "question2": "who"},
           "qnli": {"question": "who sat", "sentence": "the cat sat"}}
TARGETS = {"mnli": {"0": "yes", "1": "maybe", "2": "no"}, "stsb": "{:.1f}"}
WORDS = ("yes no maybe the a cat sat who fine film 0.5 3.8 one two").split()


def write_prompts(file, **changes):
    """A module as FusionBench's, with prompts of our own: each quotes all columns, the last entry collects the others."""
    lines = ["# as it is published, this file is Python"]
    for task, columns in COLUMNS.items():
        prompt = {"description": task, "input_text": "one " + " two ".join(f"'{{{name}}}'" for name in columns),
                  "target_text": TARGETS.get(task, {"0": "no", "1": "yes"})}
        lines.append(f"{task} = {changes.get(task, prompt)!r}")
    lines.append("everything = {" + ", ".join(f"'{task}': {task}" for task in COLUMNS) + "}")
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a base, eight adapters and eight tasks, as `load_glue` describes it."""
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
    folder = tmp_path_factory.mktemp("flan")
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("'", "removed")])
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(
        folder / "base")
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_decoder_layers=1, num_heads=2,
                      feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False)
    torch.manual_seed(0)
    network = T5ForConditionalGeneration(config)
    network.lm_head.weight = torch.nn.Parameter(torch.randn(20, 16))        # Flan-T5's own is not its embedding
    network.save_pretrained(folder / "base")
    for task, columns in COLUMNS.items():
        adapted = get_peft_model(T5ForConditionalGeneration.from_pretrained(folder / "base"), LoraConfig(
            r=16, lora_alpha=32, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM", init_lora_weights=False))
        adapted.save_pretrained(folder / "adapters" / task)
        (folder / "glue" / task).mkdir(parents=True)
        for split, count in (("train", 600), (split_of(task), 12)):
            labels = np.resize([0.5, 3.8], count).astype("float32") if task == "stsb" else np.arange(count) % 2
            rows = pd.DataFrame({**{name: [f"{text} {WORDS[k % 14]}" for k in range(count)] for name, text in columns.items()},
                                 "label": labels, "idx": np.arange(count)})
            rows.to_parquet(folder / "glue" / task / f"{split}-00000-of-00001.parquet")
    write_prompts(folder / "glue_prompt_templates.py")
    return folder


@pytest.fixture
def copy(published, tmp_path):
    """The same folder, to be damaged."""
    return shutil.copytree(published, tmp_path / "flan")


def test_everything_of_a_published_suite_works(published, monkeypatch, tmp_path):
    monkeypatch.setattr("mergelib.adapt.learning.CACHE", tmp_path)
    suite = load_suite("glue-8", folder=published)
    assert suite.tasks == tuple(TITLES) and suite.model == "flan-t5-base" and suite.name == "glue-8"
    table = ml.evaluate(ml.merge("task-arithmetic", suite.base, suite.experts, lam=0.3), suite).set_index("task")
    assert (table["n"] == 12).all() and table["spearman"].notna().tolist() == [task == "stsb" for task in TITLES]
    few = suite.subset(("cola", "mnli"))
    for method, options in (("adamerging++", {"steps": 1}), ("doge-ta", {"preset": "code", "steps": 2})):
        data = {"suite": few, "batch": 4} if method != "doge-ta" else {}
        assert set(ml.merge(method, suite.base, few.experts, **data, **options)) == set(suite.base)


def test_experts_are_what_peft_makes_of_them(published):
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM
    suite = load_suite("glue-8", folder=published)
    network = AutoModelForSeq2SeqLM.from_pretrained(published / "base")
    theirs = PeftModel.from_pretrained(network, published / "adapters" / "rte").merge_and_unload()
    for name, weight in theirs.named_parameters():
        torch.testing.assert_close(suite.experts["rte"][name], weight.detach(), rtol=1e-5, atol=1e-6)
    asked, _ = suite.examples("rte", "test")
    inputs = t5.questions(t5.encode(suite.source, asked))
    wanted = theirs.eval().generate(**inputs, max_length=10, do_sample=False, num_beams=1)[:, 1:]
    found = t5.generate(t5.with_weights(suite.source, dict(suite.experts["rte"])), inputs, suite.longest)
    assert t5.decode(suite.source, found) == t5.decode(suite.source, wanted)


def test_the_output_matrix_stays_apart_from_the_embedding(published):
    """Flan-T5's are two; tying them would be silent and wrong."""
    suite = load_suite("glue-8", folder=published)
    assert not torch.equal(suite.base["lm_head.weight"], suite.base["shared.weight"])


def test_questions_and_answers_are_the_prompts(published):
    suite = load_suite("glue-8", folder=published)
    asked, answers = suite.examples("mnli", "test")
    assert asked[1] == "one 'the cat sat no' two 'a cat sat no'" and answers[:2] == ("yes", "maybe")
    assert suite.examples("stsb", "test")[1][:2] == ("0.5", "3.8")
    tuning = suite.examples("cola", "validation")
    assert len(tuning[0]) == TUNING and tuning == load_suite("glue-8", folder=published).examples("cola", "validation")


def test_what_is_missing_is_listed_with_its_source(copy):
    shutil.rmtree(copy / "adapters" / "qqp")
    shutil.rmtree(copy / "glue" / "rte")
    with pytest.raises(CheckpointError, match=r"(?s)adapters/qqp/.*tanganke/flan-t5-base_glue-qqp_lora-16.*nyu-mll/glue, rte"):
        load_suite("glue-8", folder=copy)
    with pytest.raises(ValueError, match="(?s)adapters lie in a folder of yours.*adapter_model.safetensors"):
        load_suite("glue-8")


def test_hidden_labels_and_other_columns_are_refused(copy):
    file = copy / "glue" / "cola" / "validation-00000-of-00001.parquet"
    rows = pd.read_parquet(file)
    hidden, other = rows.assign(label=-1), rows.rename(columns={"sentence": "text"})
    for changed, message in ((hidden, "label -1.*hidden"), (other, "'sentence'")):
        changed.to_parquet(file)
        read_examples.cache_clear()
        suite = load_suite("glue-8", folder=copy)
        with pytest.raises(CheckpointError, match=message):
            suite.examples("cola", "test")


def test_prompts_are_read_and_never_run(tmp_path):
    file = tmp_path / "one.py"
    write_prompts(file)
    file.write_text(file.read_text() + "raise SystemExit\n")
    assert read_prompts(file)["cola"]["target_text"] == {"0": "no", "1": "yes"}
    write_prompts(tmp_path / "two.py", rte={"input_text": "x"})
    with pytest.raises(CheckpointError, match="no prompt for rte"):
        read_prompts(tmp_path / "two.py")
    (tmp_path / "three.py").write_text("cola = open('x')\n")
    with pytest.raises(CheckpointError, match="not FusionBench's list of prompts"):
        read_prompts(tmp_path / "three.py")


def test_another_adapter_gives_another_digest(copy):
    before = load_suite("glue-8", folder=copy).digest
    config = json.loads((copy / "adapters" / "cola" / "adapter_config.json").read_text())
    assert config["r"] == 16 and before == load_suite("glue-8", folder=copy).digest
    file = "adapter_model.safetensors"
    shutil.copy(copy / "adapters" / "mnli" / file, copy / "adapters" / "cola" / file)
    assert load_suite("glue-8", folder=copy).digest != before
