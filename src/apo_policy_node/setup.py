from setuptools import find_packages, setup

setup(
    name="apo_policy_node",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_policy_node"]),
        ("share/apo_policy_node", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Serves a vision-language-action policy and hot-reloads its LoRA adapters.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "policy_node = apo_policy_node.policy_node:main",
        ],
    },
)
