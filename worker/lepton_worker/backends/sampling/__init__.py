"""How a decoder's logits become tokens: penalties, constraints, truncation, draws and reports."""
