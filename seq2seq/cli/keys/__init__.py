"""What a person types: keys, values, short names, and the line that says what was wrong with them."""
