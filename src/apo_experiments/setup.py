from setuptools import find_packages, setup

setup(
    name="apo_experiments",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_experiments"]),
        ("share/apo_experiments", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Measurements in simulation: evaluation, comparison of methods, base policies.",
    license="Apache-2.0",
)
