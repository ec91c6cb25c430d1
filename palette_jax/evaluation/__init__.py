"""The evaluation of images by the paper's protocol.

cases.py, selection.py   the tasks and images that are judged
samples.py, baselines.py files of outputs: a run's, and without a model
matching.py              folders of images, matched by name
measurements.py          measurements of each image, by networks/ and metrics/
registry.py              the metrics by name
estimates.py             metrics of rows, with intervals (intervals.py)
references.py            statistics that Frechet distances are measured against
protocol.py              all of it: folders in, results out
report.py, plots.py      results as files
paper/                   the paper's tables, claims and their reproduction
"""
