"""Models on this machine's disk, read without TensorFlow: what they offer, what they consist of."""
