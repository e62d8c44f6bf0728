from setuptools import find_packages, setup

setup(
    name="apo_recorder",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_recorder"]),
        ("share/apo_recorder", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Records episodes of a robot to HDF5: executed commands with their observations.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "recorder_node = apo_recorder.recorder_node:main",
        ],
    },
)
