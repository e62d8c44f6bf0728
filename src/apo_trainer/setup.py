from setuptools import find_packages, setup

setup(
    name="apo_trainer",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_trainer"]),
        ("share/apo_trainer", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Action Preference Optimization of LoRA adapters from recorded episodes.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "trainer_node = apo_trainer.trainer_node:main",
        ],
    },
)
