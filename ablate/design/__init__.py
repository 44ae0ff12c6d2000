"""Which trials answer a question, and what their numbers say: pure functions of arrays, numpy and scipy only."""
