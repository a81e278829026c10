"""Is the table of the papers' data sets whole, and does it agree with the golden values and the papers' tables?"""

import pytest

from mergelib.papers.preflight import EIGHT
from mergelib.papers.tables import published
from mergelib.suites.clip.tasks import TABLE, load_tasks

TASKS = load_tasks()


def test_the_eight_come_first_and_all_twenty_have_golden_values():
    assert tuple(TASKS)[:8] == EIGHT and len(TASKS) == 20
    assert set(TASKS) == set(published("golden")["task"]) - {"Avg"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_class_names_and_prompts_make_a_head(task):
    classes = published("golden").drop_duplicates("task").set_index("task")["classes"]
    assert len(task.classes) == classes[task.name]
    assert len(set(task.classes)) == len(task.classes) and all(name == name.strip() != "" for name in task.classes)
    assert len(set(task.prompts)) == len(task.prompts)
    for prompt in task.prompts:
        assert prompt.format("gate") == prompt.replace("{}", "gate") != prompt


def test_tasks_with_the_same_classes_have_them_in_the_same_order():
    for one, other in (("MNIST", "SVHN"), ("CIFAR10", "STL10")):
        shared = [name for name in TASKS[one].classes if name in TASKS[other].classes]
        assert shared == [name for name in TASKS[other].classes if name in shared] and len(shared) >= 8
    assert TASKS["MNIST"].classes == tuple("0123456789")


def test_places_and_sizes():
    assert len({task.dataset for task in TASKS.values()}) == len({task.expert for task in TASKS.values()}) == 20
    for task in TASKS.values():
        assert task.dataset.count("/") == 1 and set(task.splits) == set(task.rows) == {"train", "test"}
        assert task.splits["train"] != task.splits["test"] and task.rows["test"] > 1000
    assert [name for name, task in TASKS.items() if task.rows["train"] is None] == ["RESISC45", "EuroSAT", "DTD"]


def test_nothing_is_mangled():
    text = TABLE.read_text(encoding="utf-8")
    assert TASKS["KMNIST"].classes[0] == "お" and "\\u" not in text and max(map(len, text.splitlines())) <= 128
