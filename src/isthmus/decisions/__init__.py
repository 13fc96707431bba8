"""From scores to decisions: thresholds, p-values, budgets, and what each of them guarantees.

Scores are as scikit-learn's: higher is more normal. Only their order counts, so that any
detector's will do.
"""

from isthmus.decisions.alarms import Alarm, AlarmRule, Alarms
from isthmus.decisions.conformal import adjusted_p_values, benjamini_hochberg, fewest_discoveries, p_values
from isthmus.decisions.online import OnlineFDR
from isthmus.decisions.rules import AtRate, Decision, Discoveries, DiscoveriesAlong, Rule, Worst
from isthmus.decisions.thresholds import (
    Threshold,
    rate_of_budget,
    rows_needed,
    rows_per_day,
    smallest_rate,
    threshold_at,
    worst,
)

__all__ = [
    "Alarm",
    "AlarmRule",
    "Alarms",
    "AtRate",
    "Decision",
    "Discoveries",
    "DiscoveriesAlong",
    "OnlineFDR",
    "Rule",
    "Threshold",
    "Worst",
    "adjusted_p_values",
    "benjamini_hochberg",
    "fewest_discoveries",
    "p_values",
    "rate_of_budget",
    "rows_needed",
    "rows_per_day",
    "smallest_rate",
    "threshold_at",
    "worst",
]
