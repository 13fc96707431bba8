"""Jobs: what a code is good for, each a scikit-learn meta-estimator around one auto-encoder."""

__all__: list[str] = []
