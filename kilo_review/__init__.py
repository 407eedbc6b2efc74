"""kilo-review: a code reviewer that never lets code leave the machine."""

__version__ = "0.1.0"
