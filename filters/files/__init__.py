"""Files that filters are given: DataComp's assets, arrays of torch, WordNet, fastText's models. Nothing in them is trusted."""
