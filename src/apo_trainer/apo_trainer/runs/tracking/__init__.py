"""Where the curves of a run go beside metrics.jsonl: TensorBoard, MLflow, Weights & Biases. Begin with trackers.py."""
