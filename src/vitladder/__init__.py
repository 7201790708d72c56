"""vitladder: a ladder of Vision Transformers at increasing compute, and the law it follows."""

__version__ = "0.1.0"
