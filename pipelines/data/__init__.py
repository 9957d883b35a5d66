"""From a folder of clips or pictures to a data set that nothing can change."""
