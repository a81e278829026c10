"""`python -m mergelib.zoo`: train the zoo's experts, and its bases where asked, resumable, and print the regime table."""

import argparse
import time
from pathlib import Path

from ..experiments import criteria, regime_table, standing, text_verdict
from ..measure.ledger import Ledger
from ..networks.clip import TOWERS
from ..paths import CACHE, ROOT, ZOO
from ..suites import load_suite
from ..suites.store import read_manifest, write_manifest
from ..suites.text import TEXT_MODELS
from .language import make_language
from .make import adopt_base, draw_everything, plan, train_base, train_experts


def main():
    """Draw pictures, pre-train, fine-tune, store, report."""
    parser = argparse.ArgumentParser(prog="python -m mergelib.zoo", description=__doc__)
    parser.add_argument("--tower", default="main", choices=TOWERS, help="image tower to train (default: main)")
    parser.add_argument("--also", nargs="*", default=[], choices=("twelve", "seeds", "mtl", "pcgrad"),
                        help="beside the base and the experts of the eight tasks: those of the twelve further tasks, two more "
                             "fine-tuning seeds of the eight, one model trained on the eight tasks together, one with PCGrad")
    parser.add_argument("--base", action="store_true", help="train the base too, for hours, where one is shipped")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "zoo",
                        help="folder to write to; the shipped zoo in data/zoo stays as it is unless named here")
    parser.add_argument("--language", nargs="?", const="text-small", choices=TEXT_MODELS, help="train a language model and its "
                        "experts instead (default: text-small), with `--also seeds` two more seeds of each")
    options = parser.parse_args()
    if options.language:
        return train_language(options)
    start, folder, work = time.monotonic(), options.out / options.tower, CACHE / "training" / options.tower
    models = plan(options.tower, options.also)
    anew = options.base or not adopt_base(options.tower, folder)
    draw_everything({task for tasks, _ in models.values() for task in tasks}, anew)
    if anew:
        train_base(options.tower, folder, work)
    train_experts(options.tower, models, folder, work)
    print(f"\nThe zoo is in {folder} ({time.monotonic() - start:.0f} s). Where it stands:\n")
    print(noted_standing(options.tower, folder, "twelve" in options.also).to_string(index=False))
    if options.out != ZOO:
        print(f"\nTo use it instead of the shipped one, set MERGELIB_ZOO={options.out}")


def noted_standing(tower, folder, twenty):
    """Measure base and experts against the criteria, note what was found in the manifest, and give the criteria."""
    suites = [load_suite(f"sketch-{count}", tower, folder=folder) for count in ((8, 20) if twenty else (8,))]
    tables = {suite.name: standing(suite, ledger=Ledger(folder / "results")) for suite in suites}
    write_manifest(folder, {**read_manifest(folder), "standing": {
        name: table.astype(object).where(table.notna(), None).to_dict("index") for name, table in tables.items()}})
    return criteria(*tables.values())


def train_language(options):
    """Pre-train, fine-tune, store, report: for the tasks that ask in words."""
    model, folder = options.language, options.out / options.language
    make_language(model, folder, CACHE / "training" / model, ("seeds",) if "seeds" in options.also else ())
    table = regime_table(load_suite("text-8", model, folder=folder), ledger=Ledger(folder / "results"))
    write_manifest(folder, {**read_manifest(folder), "regime": table.round(4).to_dict("index")})
    print(table.round(3).to_string(), text_verdict(table).to_string(index=False), sep="\n\n")
    if options.out != ZOO:
        print(f"\nTo use it instead of the shipped one, set MERGELIB_ZOO={options.out}")


if __name__ == "__main__":
    main()
