"""Check an installation that only shows logs, where no framework, Keras, scikit-learn or SciPy is installed: read a run that
was written, judge it, draw it, make a report, and ask TensorBoard for the tab.

    python view_only.py LOG_DIR
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from tensorboard import program

import keras_xai as kx
from tests.reliance_records import ShortcutRun

log_dir = Path(sys.argv[1])
for absent in ("keras", "tensorflow", "jax", "torch", "sklearn", "scipy"):
    assert find_spec(absent) is None, f"{absent} is installed"
assert "site-packages" in str(kx.__file__), kx.__file__

ShortcutRun(log_dir / "shortcut").write()
run = kx.load(log_dir)["shortcut"]
assert ["leak" in alert.sentence for alert in run.alerts] == [True, False], run.alerts
assert run.figure("importance_drift").data
kx.report(log_dir, log_dir / "report.html")
judged = subprocess.run([Path(sys.executable).with_name("keras-xai"), "check", log_dir], capture_output=True, text=True)
assert (judged.returncode, "ALARM" in judged.stdout) == (1, True), judged

server = program.TensorBoard()
server.configure(logdir=str(log_dir), port=0, load_fast="false")
url = server.launch() + "data/plugin/keras_xai/"
ROUTES = {"static/index.js": b"exportsOf", "docs/index": b"<h1", "index": b"shortcut", "run?run=shortcut": b"leak"}
for path, expected in ROUTES.items():
    assert expected in urlopen(url + path).read(), path
print("Logs are read, judged, drawn, reported and shown without a framework.")
