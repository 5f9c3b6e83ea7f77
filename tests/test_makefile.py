"""What the Makefile does to the list of packages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[1] / "Makefile"


def test_tensorflow_alone_is_replaced_by_its_build_for_processors():
    program = re.search(r"^CPU := (.+)$", MAKEFILE.read_text(), re.MULTILINE)[1]
    needs = (
        'tensorflow==2.15.1; python_version < "3.12"\ntensorflow-addons==0.23.0\ntensorflow[and-cuda]>=2.21,<2.22\n'
        "Requires-Dist: tensorflow<2.22,>=2.21\nRequires-Dist: tensorflow-datasets==4.9.4\n"
    )
    done = subprocess.run(["sed", program], input=needs, capture_output=True, text=True, check=True)
    assert done.stdout == needs.replace("tensorflow==", "tensorflow-cpu==").replace("tensorflow<", "tensorflow-cpu<")
