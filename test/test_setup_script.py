"""What scripts/setup.sh rejects before it makes anything."""

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "setup.sh"


def test_a_checkout_whose_path_has_a_space_is_rejected_at_once(tmp_path):
    root = tmp_path / "my apo"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "scripts")
    done = subprocess.run([root / "scripts" / "setup.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"setup: the path of this checkout has a space in it: {root}" in done.stderr
    assert [path.name for path in root.iterdir()] == ["scripts"]
