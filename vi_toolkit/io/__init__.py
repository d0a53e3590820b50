"""Fits in files."""

from vi_toolkit.io.checkpoint import checkpoint as checkpoint
from vi_toolkit.io.load import load as load
from vi_toolkit.io.save import save as save
