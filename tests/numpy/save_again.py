"""Loads an array and saves it again: save_again.py FROM TO"""

import sys

import numpy as np

np.save(sys.argv[2], np.load(sys.argv[1]))
