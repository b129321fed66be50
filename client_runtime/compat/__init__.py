"""Old names for new things, so that scripts written for the original run unchanged.

Nothing here happens by itself: a name exists after `import client_runtime.compat.contrib`, in the
package `ei_for_tf`, or in a script that `accel run` runs. No other program is touched.

| module | what it is |
|---|---|
| `ei_for_tf/` | the sources of the top-level package `ei_for_tf` |
| `contrib` | makes `tensorflow.contrib` importable, from `tensorflow_contrib/` |
| `contrib_names` | what became of the other `tensorflow.contrib` modules |
| `ei_predictor` | `EIPredictor` whose results are the arrays of `lenient_arrays` |
| `lenient_arrays` | arrays of one element that still convert to a number |
| `numpy_names` | names that NumPy has removed |
| `tensorflow1` | `import tensorflow` gives TensorFlow 1's names and behaviour |
| `script` | runs a script as Python itself would |
"""
