"""The names that signatures and requests give to what is asked of a model, and of its tensors."""

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
ALL = (PREDICT, CLASSIFY, REGRESS)

INPUTS = "inputs"
CLASSES = "classes"
SCORES = "scores"
REGRESSION = "outputs"
