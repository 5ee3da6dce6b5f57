"""Images on their way to a batch: sources, transforms, batching, image files.

`datasets` opens any data set by name and split, `digits` holds real handwriting that needs
no download, `transforms` works on one image, `jpeg` cuts crops out of encoded photographs,
`batches` makes any random-access source a reproducible tf.data stream, and `images` reads
the files people have on their disks.
"""
