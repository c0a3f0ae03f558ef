"""What watches a training: checkpoints, TensorBoard, validation, progress."""
