"""The stages of gpu_check.py, a file each, and what they share."""

import os

# Libraries ask whether there is a GPU when they are imported. The answer must not start its driver in a process whose
# children are to use it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
