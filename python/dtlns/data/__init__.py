"""Everything between a log on disk and a training view: readers, ids, splits, data set folders, examples."""
