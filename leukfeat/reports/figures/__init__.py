"""Figures of a report: one module a family, each from plain numbers to a drawing."""
