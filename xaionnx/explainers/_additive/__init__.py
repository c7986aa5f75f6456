"""Models that are sums of terms of few columns each: linear models, additive models, explainable boosting machines."""
