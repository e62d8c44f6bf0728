from setuptools import find_packages, setup

setup(
    name="apo_vla",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_vla"]),
        ("share/apo_vla", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Vision-language-action models: families, checkpoints, LoRA adapters, decoding and serving.",
    license="Apache-2.0",
)
