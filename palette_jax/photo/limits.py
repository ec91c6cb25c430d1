"""Choices and limits of what can be done to photos, known without JAX."""

SAMPLERS = ('ancestral', 'ddim', 'dpm_solver')
HOLE_SAMPLERS = (*SAMPLERS, 'imputation', 'repaint')
SIDES = ('left', 'right', 'top', 'bottom')
SEEDS = 2**32
MOST_SAMPLES = 64  # on one sheet
MOST_STEPS = 10_000
MOST_ADDED = 20_000  # pixels on one side
MOST_SHIFTS = 1_000
