"""A linear support vector machine and its calibration by scikit-learn, which Graft's own code must reproduce.

usage: make_svm.py OUT_DIR
needs: scikit-learn==1.9.1 numpy safetensors
"""
import sys
import numpy as np
from safetensors.numpy import save_file
from sklearn.calibration import _SigmoidCalibration
from sklearn.svm import LinearSVC

out, = sys.argv[1:]
rng = np.random.RandomState(11)
labels = np.repeat(np.arange(3), (50, 40, 30))
rows = (rng.randn(3, 24)[labels] * 0.5 + rng.randn(120, 24)).astype('float32')
tensors = {'rows': rows, 'labels': labels.astype('int64')}
for c in (0.05, 2.0):
    svm = LinearSVC(C=c, tol=1e-10, max_iter=10_000_000, random_state=0).fit(rows.astype('float64'), labels)
    tensors[f'weights.{c:g}'] = svm.coef_
    tensors[f'bias.{c:g}'] = svm.intercept_
scores = rows.astype('float64') @ tensors['weights.0.05'].T + tensors['bias.0.05']
noisy = scores + rng.randn(*scores.shape) * 0.4  # as of rows that it wasn't trained on
tensors['scores'] = noisy
tensors['probabilities'] = np.stack(
    [_SigmoidCalibration().fit(noisy[:, k], labels == k).predict(noisy[:, k]) for k in range(3)], 1)
save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, f'{out}/svm.safetensors')
