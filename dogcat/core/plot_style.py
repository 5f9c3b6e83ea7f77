"""How plots of pages look: drawn alike on white and on black, as PNG.

Whatever imports matplotlib imports this module first: a backend with windows and the user's own settings, which
matplotlib reads when it is imported, are not those of this program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from dogcat.core import files, runtime
from dogcat.core.log import at_level
from dogcat.core.options import InputError

# There the backend opens no window either, and the cells of whoever uses it go on to show their own plots.
_IN_NOTEBOOK = "ipykernel" in sys.modules


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """A block in which matplotlib is imported as it is by itself, and says nothing of folders it cannot write."""
    with contextlib.suppress(InputError):
        # Matplotlib takes it where it cannot write in the home folder.
        files.find_temporary_folder()
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    own = os.path.join(os.path.dirname(spec.origin), "mpl-data", "matplotlibrc")
    backend = {} if _IN_NOTEBOOK else {"MPLBACKEND": "Agg"}
    with runtime.variables_set(MATPLOTLIBRC=own, **backend), at_level(logging.ERROR, "matplotlib"):
        yield


with _own_settings():
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

if not _IN_NOTEBOOK:
    # Where a program that dogcat is part of imported it before.
    matplotlib.use("Agg")

# Told apart with any kind of colour vision, on white and on black.
COLOURS = ("#3b8bc9", "#e07b1a", "#2ba58c", "#c45a9b", "#8f77d6", "#a3a11c")
COLOUR_OF_OTHERS = "#8c8c8c"
# From 0 to 1.
HEAT = matplotlib.colormaps["inferno"]
DPI = 130
LEGEND_POINTS = 9
# Width and height of a panel in inches: two stand beside each other on a page, and one can be read on a phone.
PANEL = (4.8, 3.9)

# As the dark page's background.
_DARK_PAPER = "#16181c"


@contextlib.contextmanager
def style(dark: bool) -> Iterator[None]:
    """What is drawn in the block is drawn for a white page, or for a black one."""
    own: dict[str, Any] = {
        # A file's name may have dollars.
        "text.parse_math": False,
        # An axis says its values, not what is to be added to them.
        "axes.formatter.useoffset": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.columnspacing": 1.2,
        "legend.handletextpad": 0.2,
        "legend.fontsize": LEGEND_POINTS,
        "font.size": 10,
        "grid.color": "grey",
        # Pixels are the same while names are put in place and in the file.
        "figure.dpi": DPI,
        "savefig.dpi": "figure",
    }
    if dark:
        own |= {"figure.facecolor": _DARK_PAPER, "axes.facecolor": _DARK_PAPER}
    with plt.style.context(["dark_background" if dark else "default", own]):
        yield


def png(figure: Figure) -> bytes:
    """A figure as PNG; closes it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters of a name that the font lacks show as boxes; the page has the name as text.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
