"""What the scripts share: pipelines, batches, run folders, statistics and figures."""
