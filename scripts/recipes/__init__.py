"""What the recipes of data from models share: their steps, each of which is done once."""
