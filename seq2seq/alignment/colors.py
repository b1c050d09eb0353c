"""The colours of all figures."""

from matplotlib.colors import LinearSegmentedColormap

# White to navy in steps of equal CIELAB lightness, so that equal steps of weight look equal.
COLORS = ("#ffffff", "#cee6f6", "#a0cced", "#76b1e1", "#5296d2", "#367abd", "#265fa2", "#204582", "#1d2d5f")
INK, GREY, GRID, GOLD = "#1a1a1a", "#6b6b6b", "#dcdce2", "#e8590c"
COLORMAP = LinearSegmentedColormap.from_list("weights", COLORS)
