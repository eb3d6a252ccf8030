"""Pictures of patches, files and results: each module has one function that returns a matplotlib figure.

Importing anything from here needs matplotlib, the extra ``pictures``. The figures are made without pyplot: nothing
global changes, no backend is needed, and a figure is gone when nobody holds it.
"""

from sar_h5.extras import import_extra

import_extra("matplotlib.figure", "drawing pictures")
