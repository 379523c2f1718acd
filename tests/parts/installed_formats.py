"""The formats whose writers are installed: py123d brings Ray and Jupyter, so CI goes without."""

from importlib.util import find_spec

from realmaster_live.datasets.formats import FORMATS

INSTALLED = {
    name: one for name, one in FORMATS.items() if name != "arrow_123d" or find_spec("py123d")
}
