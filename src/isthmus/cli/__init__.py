"""The command line: one ``fit``, many verbs.

The grammar stands in :mod:`isthmus.cli.grammar`, which imports click and nothing heavier;
what a verb does stands in modules that are imported when it is called. Nothing in the
package imports this folder.
"""

from isthmus.cli.grammar import main

__all__ = ["main"]
