"""Word links and their error rate, words from subwords, heatmaps and measures of attention weights."""
