"""Judges a bill of materials by CycloneDX's own strict schema: prints what is wrong with it, and ends with 1."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
if wrong:
    sys.exit(str(wrong))
