"""Limits that keep one caller or one slow part from hurting the rest."""
