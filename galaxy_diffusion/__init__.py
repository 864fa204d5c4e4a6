"""What the scripts share: the conditional pipeline, batches, run state, statistics, figures."""
