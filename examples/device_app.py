"""Run with: python device_app.py BUNDLE PICTURE…  Needs edgetl-runtime alone."""

import sys

from edgetl_runtime import Session

with Session.open(sys.argv[1]) as session:  # checks every file, and proves the device on test cases
    for path in sys.argv[2:]:
        found = session.predict(path)  # a path, encoded bytes, a PIL image or an array
        print(path, found.label, f"{found.confidence:.3f}")
