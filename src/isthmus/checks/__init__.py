"""The contract that every part and every job keeps, as checks that anyone can run on their own.

>>> from isthmus.bottlenecks import Linear
>>> check_part(Linear(size=2))

A check that fails raises AssertionError and says what was expected, what was found and where
to mend it. They are no bare ``assert``: python -O leaves them at work.
"""

from isthmus.checks.jobs import check_job
from isthmus.checks.parts import check_part

__all__ = ["check_job", "check_part"]
