"""What a record holds, and reading it again.

In: a folder that `tfrecords_builder` wrote. Out: cases, and any box of a
scan's voxels (`RecordStore`).
Before: tfrecords_builder. After: tfpartial.data, tfpartial.pseudo_labels.
"""
