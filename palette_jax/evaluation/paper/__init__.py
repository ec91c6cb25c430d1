"""The paper's tables: their figures, models, claims and reproduction."""
