"""What nbval does not compare: progress bars, and warnings, whose text holds the path of the checkout."""

import os

os.environ["TQDM_DISABLE"] = "1"


def pytest_collectstart(collector):
    """Leave stderr out of the comparison of every notebook."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
