"""Label errors by confident learning (Northcutt, Jiang and Chuang, 2021), written as matrices, which Graft's own code must
reproduce.

usage: make_label_errors.py OUT_DIR
needs: numpy
"""
import json, sys
import numpy as np

out, = sys.argv[1:]
rng = np.random.RandomState(21)

def case(classes, images, noise, decimals):
    truth = rng.randint(classes, size=images)
    labels = np.where(rng.rand(images) < noise, rng.randint(classes, size=images), truth)
    p = rng.dirichlet(np.ones(classes), images) * 0.6 + np.eye(classes)[truth] * 0.4
    p = np.round(p, decimals).astype('float32')  # few decimals: with ties
    q = p.astype('float64')
    given = np.eye(classes, dtype=bool)[labels]
    own = (q * given).sum(1)
    thresholds = np.array([own[labels == c].mean() for c in range(classes)])
    others = np.where((q >= thresholds) & ~given & (q > own[:, None]), q, -1)
    suspected = np.flatnonzero(others.max(1) >= 0)
    order = suspected[np.argsort(-(others.max(1) - own)[suspected], kind='stable')]
    return dict(labels=labels.tolist(), probabilities=p.astype('float64').ravel().tolist(), classes=classes,
                thresholds=thresholds.tolist(), images=order.tolist(), suggested=others.argmax(1)[order].tolist())

json.dump([case(2, 120, 0.3, 6), case(3, 120, 0.25, 1), case(5, 150, 0.25, 3)], open(f'{out}/label_errors.json', 'w'))
