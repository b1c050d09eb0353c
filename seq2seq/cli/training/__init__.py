"""What `seq2seq train` does: its runs planned, begun from other weights, resumed, swept, and reported."""
