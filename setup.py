"""Packs the pages of docs/ with the package, as keras_xai.docs: the tab shows them. All else stands in setup.cfg."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["keras_xai*"]), "keras_xai.docs"],
    package_dir={"keras_xai.docs": "docs"},
)
