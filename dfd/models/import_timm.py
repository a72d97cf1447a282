"""Import timm without torch's compiler, which takes a second and is never used here."""

from dfd.torchvision_ops import without_compiler

with without_compiler():
    import timm  # noqa: F401
