"""Self-contained pages: what was learnt, how good that is, and what it rests on."""
