"""Fits and exact posteriors as ArviZ's DataTree, and what is read back from one."""

from vi_toolkit.tree._versions import versions as versions
from vi_toolkit.tree.datatree import exact_to_datatree as exact_to_datatree, to_datatree as to_datatree
from vi_toolkit.tree.known import diagnosis_of_tree as diagnosis_of_tree
