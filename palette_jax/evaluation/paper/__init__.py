"""The paper's tables: reported figures, models, claims, reproduction."""
