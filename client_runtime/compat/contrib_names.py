"""What became of the modules of `tensorflow.contrib`, which TensorFlow 2 removed."""

from __future__ import annotations

from collections.abc import Mapping

REPLACEMENTS: Mapping[str, str] = {
    "autograph": "tf.autograph",
    "batching": "tf.nondifferentiable_batch_function",
    "bayesflow": "the package tensorflow_probability",
    "cluster_resolver": "tf.distribute.cluster_resolver",
    "coder": "the package tensorflow_compression",
    "compiler": "tf.xla.experimental",
    "constrained_optimization": "the package tensorflow_constrained_optimization",
    "copy_graph": "tf.graph_util.import_graph_def",
    "crf": "the package tensorflow_addons (tfa.text)",
    "cudnn_rnn": "tf.keras.layers.LSTM and GRU, which use cuDNN by themselves",
    "data": "tf.data, and tf.data.experimental for what was experimental",
    "distribute": "tf.distribute",
    "distributions": "the package tensorflow_probability (tfp.distributions)",
    "eager": "tf.GradientTape and tf.train.Checkpoint",
    "estimator": "tf.estimator, up to TensorFlow 2.15",
    "factorization": "nothing; tf.estimator had KMeans, up to TensorFlow 2.15",
    "feature_column": "tf.feature_column",
    "framework": (
        "tf.train (global steps, checkpoints), tf.no_op, tf.is_tensor, tf_slim for arg_scope"
    ),
    "gan": "the package tensorflow_gan",
    "graph_editor": "nothing; tf.graph_util and tf.import_graph_def do parts of it",
    "hparams": "the package tensorboard (tensorboard.plugins.hparams), or a dictionary",
    "image": "tf.image, and the package tensorflow_addons (tfa.image)",
    "keras": "tf.keras",
    "labeled_tensor": "nothing",
    "layers": "tf.layers, tf.keras.layers, or the package tf_slim (tf_slim.layers)",
    "learn": "tf.estimator, up to TensorFlow 2.15",
    "legacy_seq2seq": "the package tensorflow_addons (tfa.seq2seq)",
    "linalg": "tf.linalg",
    "lite": "tf.lite",
    "lookup": "tf.lookup",
    "losses": "tf.losses, or the package tf_slim (tf_slim.losses)",
    "memory_stats": "tf.config.experimental.get_memory_info",
    "metrics": "tf.metrics, or the package tf_slim (tf_slim.metrics)",
    "mixed_precision": "tf.train.experimental.enable_mixed_precision_graph_rewrite",
    "nccl": "tf.distribute.NcclAllReduce",
    "nn": "tf.nn",
    "opt": "tf.train, or the package tensorflow_addons (tfa.optimizers)",
    "optimizer_v2": "tf.keras.optimizers",
    "quantize": "the package tensorflow_model_optimization",
    "rnn": "tf.nn.rnn_cell, or the package tensorflow_addons (tfa.rnn)",
    "saved_model": "tf.saved_model",
    "seq2seq": "the package tensorflow_addons (tfa.seq2seq)",
    "session_bundle": "tf.saved_model",
    "signal": "tf.signal",
    "slim": "the package tf_slim",
    "solvers": "tf.linalg",
    "staging": "tf.data's prefetch",
    "stateless": "tf.random, where the functions are called stateless_…",
    "stat_summarizer": "tf.profiler",
    "summary": "tf.summary",
    "tensorboard": "the package tensorboard",
    "tensorrt": "tensorflow.python.compiler.tensorrt.trt_convert",
    "testing": "tf.test",
    "text": "the package tensorflow_text",
    "tfprof": "tf.profiler",
    "timeseries": "the package tensorflow_probability (tfp.sts)",
    "tpu": "tf.tpu and tf.distribute.TPUStrategy",
    "training": "tf.train and tf.data",
}


def explain(name: str) -> str:
    """Why `tensorflow.contrib.NAME` is not there, and what to use; one line.

    >>> explain("slim.nets")
    'TensorFlow 2 has no tensorflow.contrib.slim. What replaced it: the package tf_slim.'
    """
    first = name.partition(".")[0]
    replacement = REPLACEMENTS.get(first, "nothing that is known here")
    return f"TensorFlow 2 has no tensorflow.contrib.{first}. What replaced it: {replacement}."
