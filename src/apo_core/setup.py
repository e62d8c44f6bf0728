from setuptools import find_packages, setup

setup(
    name="apo_core",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_core"]),
        ("share/apo_core", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Shared library of apo: types, contract, parameters, adapter store, ROS helpers.",
    license="Apache-2.0",
)
