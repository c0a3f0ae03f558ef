"""What watches a training: checkpoints, TensorBoard, whole-scan validation."""
