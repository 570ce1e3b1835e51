"""Scripts of the world, as far as words have to be found in them."""

SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Range in a regular expression of those that put no space between words: Thai, Lao, Burmese,
Khmer, Kana, Chinese characters."""
