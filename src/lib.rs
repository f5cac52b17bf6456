//! npyd turns raw dumps into valid NumPy `.npy` files.
