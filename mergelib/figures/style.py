"""Which colour and marker does a method have? The same ones in every figure; relatives share a colour."""

import seaborn as sns

PALETTE = sns.color_palette("colorblind")
TASK_MARKERS = "osv^dXP*"       # of the eight tasks, in their order
STYLE = {
    "Pre-trained": ("0.45", "_"),
    "Individual": ("0.15", "*"),
    "Traditional MTL": ("0.3", "."),
    "Weight Averaging": (PALETTE[7], "o"),
    "Task Arithmetic": (PALETTE[1], "s"),
    "Ties-Merging (paper)": (PALETTE[2], "^"),
    "Ties-Merging (code)": (PALETTE[8], "v"),
    "Norm-based lambda (paper)": (PALETTE[5], "P"),
    "Norm-based lambda (code)": (PALETTE[3], "h"),
    "DOGE TA (paper)": (PALETTE[9], "d"),
    "DOGE TA (code)": (PALETTE[4], "X"),
    "DOGE TA (exact)": (PALETTE[0], "D"),
    "AdaMerging (paper)": (PALETTE[6], ">"),
    "AdaMerging (code)": (PALETTE[6], "<"),
    "AdaMerging (fusionbench)": (PALETTE[6], "p"),
    "AdaMerging++ (paper)": (PALETTE[6], "H"),
    "AdaMerging++ (code)": (PALETTE[6], "8"),
    "AdaMerging++ (fusionbench)": (PALETTE[6], "$+$"),
    "Task-wise AdaMerging (paper)": (PALETTE[6], "1"),
    "Task-wise AdaMerging (code)": (PALETTE[6], "2"),
    "Task-wise AdaMerging (fusionbench)": (PALETTE[6], "3"),
    "Task-wise AdaMerging++ (paper)": (PALETTE[6], "4"),
    "Task-wise AdaMerging++ (code)": (PALETTE[6], "|"),
    "Task-wise AdaMerging++ (fusionbench)": (PALETTE[6], "$t$"),
    "DOGE AM (paper)": (PALETTE[9], "$p$"),
    "DOGE AM (code)": (PALETTE[4], "x"),
    "DOGE AM (exact)": (PALETTE[0], "+"),
}

# Methods that only the tables' figure shows have letters as markers.
LETTERS = {
    "0.3": {"MTL with PCGrad": "pc"},
    7: {"Fisher Merging": "fi", "RegMean": "rm", "Representation Surgery (weight-average)": "sw"},
    1: {"DARE": "dr", "Consensus TA": "ct", "TALL compression": "tl", "AWD TA": "aw", "Concrete TA": "cn",
        "Representation Surgery (task-arithmetic)": "st", "Twin-Merging (task-arithmetic)": "tw",
        "WEMoE (task-arithmetic)": "we", "Task Arithmetic & SVC": "tv"},
    2: {"DARE Ties-Merging": "dt", "Consensus Ties-Merging": "cs", "PCB-Merging (paper)": "pp", "PCB-Merging (code)": "pb",
        "EMR-Merging (paper)": "ep", "EMR-Merging (code)": "em", "KnOTS-TIES": "kn"},
    5: {"TATR": "ta", "TATR zero-shot": "tz", "TATR positive": "tp", "TATR negative": "tn", "TATR ntk": "tk",
        "Ties-Merging & TATR": "ti", "Ties-Merging & TATR zero-shot": "yz", "AdaMerging++ & TATR": "at",
        "AdaMerging++ & TATR zero-shot": "az", "Representation Surgery & TATR": "sr",
        "Representation Surgery & TATR zero-shot": "sz"},
    3: {"TSV-M": "ts", "Iso-C": "ic", "Iso-CTS": "is", "WUDI-Merging (paper)": "wp", "WUDI-Merging (exact)": "wx",
        "SWUDI": "wu", "SWUDI-A": "wa", "Stopped CG": "cg", "CART": "cr", "TSV-M & SVC": "sm", "Iso-CTS & SVC": "si"},
    6: {"AWD AM": "am", "Concrete AM": "ca", "Task-wise Concrete AM": "cw", "Representation Surgery (adamerging)": "sa"},
    9: {"DOGE Ties-Merging (paper)": "dp", "DOGE EMR-Merging (paper)": "gp", "DOGE TA with gradients (paper)": "vp"},
    4: {"DOGE Ties-Merging (code)": "dc", "DOGE EMR-Merging (code)": "gc", "Representation Surgery (doge-ta)": "sd",
        "Twin-Merging (doge-ta)": "td", "WEMoE (doge-ta)": "wd", "DOGE TA with gradients (code)": "vc"},
    0: {"DOGE Ties-Merging (exact)": "dx", "DOGE EMR-Merging (exact)": "gx", "DOGE TA with gradients (exact)": "vx"},
}
STYLE |= {name: (PALETTE[colour] if isinstance(colour, int) else colour, f"${letters}$")
          for colour, names in LETTERS.items() for name, letters in names.items()}


def style_of(label):
    """Colour and marker of a method; a variant of a reading, "DOGE TA (code, no guard)", has those of the reading.

    What has no style of its own has that of the method's first reading. KeyError for an unknown method.
    """
    name = label.partition(" (")[0]
    known = [label, label.partition(",")[0] + ")", name, *(other for other in STYLE if other.startswith(f"{name} ("))]
    return next((STYLE[other] for other in known if other in STYLE), None) or STYLE[label]
